import { allSlots, structureOf, traceRule } from "@mm/optim-core/backend";
import * as rules from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { pairs, type Settings } from "./expectation.ts";
import { numbers } from "../../../test-support/numbers.ts";

const plain = { clipValue: false, zeroNonFinite: false };
const others = new Set([
  // Rules for matrices: shaped-rules.test.ts.
  "adaMuon",
  "adafactor",
  "adamp",
  "came",
  "marsShampoo",
  "muon",
  "norMuon",
  "sgdp",
  // Rules of one number for all tensors: shared-rules.test.ts.
  "dAdaptAdam",
  "dAdaptSgd",
  "prodigy",
  "cautious",
  "ema",
  "lookahead",
  "swa",
  // Half a rule: it makes a step only under sam().
  "sam",
  "samAscent",
]);

test("every rule that the package exports is in the table", () => {
  const exported = Object.keys(rules).filter((name) => !others.has(name));
  expect(pairs.map(({ name }) => name).sort()).toEqual(exported.sort());
});

describe.each(pairs)("$name", ({ factory, variants, differences }) => {
  const init = { w: numbers(7, 1), b: numbers(3, 2) };
  // Twelve steps. b has no gradient in two of them, so its own count lags behind.
  const gradients = Array.from({ length: 12 }, (_, step) => ({
    w: numbers(7, 10 + step),
    ...(step !== 2 && step !== 5 && { b: numbers(3, 30 + step) }),
  }));

  test.each(variants.map((settings) => [JSON.stringify(settings), settings] as const))(
    "follows its formula with %s",
    async (_, settings) => {
      expect(await differences({ settings, init, gradients })).toEqual([]);
    },
  );

  test.each(variants.map((settings) => [JSON.stringify(settings), settings] as const))(
    "takes hyperparameters live, on and off: %s",
    async (_, settings) => {
      const all: Settings = { ...factory().hyperparameters, ...settings };
      const decay: Settings = "weightDecay" in all ? { weightDecay: all["weightDecay"] === 0 ? 0.2 : 0 } : {};
      const back: Settings = "weightDecay" in all ? { weightDecay: all["weightDecay"] ?? 0 } : {};
      const lr = all["lr"] as number;
      const changes = {
        3: { lr: lr / 2 },
        5: decay,
        7: { ...back, lr: lr * 2 },
        9: { maximize: all["maximize"] !== true },
      };
      expect(await differences({ settings, init, gradients, changes })).toEqual([]);
    },
  );

  test("leaves a parameter that has no gradient, or one without elements, alone", async () => {
    const found = await differences({
      settings: {},
      init: { w: numbers(3, 1), still: numbers(3, 2), empty: [] },
      gradients: [{ w: numbers(3, 3), empty: [] }, { w: numbers(3, 4) }],
    });
    expect(found).toEqual([]);
  });

  test("treats zeros of either sign, 1e-30 and denormals as its formula does", async () => {
    // 1e-40 is a denormal float32. The gradients change sign, so that momentum and Rprop meet it too.
    const gradients = [
      [0, -0, 1e-30, -1e-30, 1e-40, -1e-40],
      [0, -0, 1e-30, 1e-30, -1e-40, -1e-40],
      [-0, 0, -1e-30, 1e-30, 1e-40, 1e-40],
    ].map((w) => ({ w: [...Float32Array.from(w)] }));
    expect(await differences({ settings: {}, init: { w: numbers(6, 1) }, gradients })).toEqual([]);
  });

  test("lets a NaN gradient through, to its own element where the rule is elementwise", async () => {
    const gradients = [{ w: [0.5, Number.NaN, -0.25] }, { w: [0.5, 0.5, 0.5] }];
    expect(await differences({ settings: {}, init: { w: numbers(3, 1) }, gradients })).toEqual([]);
  });

  test("traces in every structure", () => {
    const { definition, hyperparameters } = factory();
    const names = Object.keys(structureOf(definition, hyperparameters));
    for (let bits = 0; bits < 2 ** names.length; bits += 1) {
      const structure = Object.fromEntries(names.map((name, index) => [name, (bits & (1 << index)) !== 0]));
      const program = traceRule(definition, structure, plain);
      expect(program.outputs.slots.length).toBe(program.slots.length);
      expect(program.scalarOutputs.length).toBe(program.scalarSlots.length);
      for (const slot of program.slots) expect(allSlots(definition, structure).slots).toContain(slot);
    }
  });

  test("is made of defaults that it does not refuse, and refuses what it does not know", () => {
    expect(factory().hyperparameters).toEqual(factory({}).hyperparameters);
    expect(Object.isFrozen(factory().hyperparameters)).toBe(true);
    expect(() => factory({ learningRate: 1 })).toThrow(expect.objectContaining({ code: "unknown-option" }));
  });
});
