import { arrayKernels, type ElementNode, type Program } from "@mm/optim-core/backend";
import { beforeAll, describe, expect, test } from "vitest";
import { openDevice } from "../support/node.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { relativeDifference } from "./numbers.ts";
import { allPrograms, allRules, program, runPasses } from "../../../../test-support/programs.ts";
import { Rig, type TestParameter, updateOnDevice } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = new Rig(await openDevice());
});

/** Around vectors of 4, a workgroup's 64 threads, a tile's 4,096 elements, and more than two tiles. */
const lengths = [0, 1, 3, 4, 5, 63, 64, 65, 4095, 4096, 4097, 10_001];
const random = randomNumbers(7);

const anyParameters = (it: Program): TestParameter[] =>
  lengths.map((length, index) => ({
    param: ordinaryArray(random, length),
    grad: ordinaryArray(random, length),
    // Second moments are never negative.
    slots: it.slots.map(() => ordinaryArray(random, length).map(Math.abs)),
    uniforms: it.uniforms.map(() => random()),
    active: index % 5 !== 2,
  }));

/** The results of the reference for them; nothing where they take no part. */
const reference = (
  it: Program,
  { param, grad, slots, uniforms = [], active = true }: TestParameter,
): { readonly param: Float32Array; readonly slots: readonly Float32Array[] } => {
  const next = { param: param.slice(), slots: slots.map((slot) => slot.slice()) };
  if (active)
    runPasses(arrayKernels(), "update", it, [next.param, grad, ...next.slots], Float32Array.from(uniforms));
  return next;
};

describe("rules in every structure, of every length, in one dispatch", () => {
  test.each(allRules.map((rule) => [rule.name, rule] as const))("%s", async (_, rule) => {
    for (const [number, it] of allPrograms(rule).entries()) {
      // Not by 2, which would go with the first switch: how vectors are loaded and stored does not depend on what is computed from them.
      const access = number % 3 === 0 ? "scalar" : "vec4";
      const parameters = anyParameters(it);
      const found = await updateOnDevice(rig, it, access, parameters);
      for (const [index, parameter] of parameters.entries()) {
        const expected = reference(it, parameter);
        // Of numbers of order 1: √ and ÷ may be off by 3 ulp of 1.2e-7, and a product may be fused with a sum, where a difference
        // may cancel. The software adapters agree to the bit.
        for (const [place, vector] of [expected.param, ...expected.slots].entries()) {
          const mine = place === 0 ? found[index]!.param : found[index]!.slots[place - 1]!;
          expect(relativeDifference(mine, vector, 1e-6)).toBeLessThanOrEqual(1e-5);
        }
      }
    }
  });
});

describe("what is written", () => {
  test("a constant into a slot, the parameter untouched; padding stays zero", async () => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "const", value: 0.1 }];
    const it = program(nodes, { param: 0, slots: [1] });
    const parameters = lengths.map((length) => ({
      param: ordinaryArray(random, length),
      grad: new Float32Array(length),
      slots: [ordinaryArray(random, length)],
    }));
    for (const access of ["vec4", "scalar"] as const) {
      // updateOnDevice throws where padding or a neighbour was written.
      const found = await updateOnDevice(rig, it, access, parameters);
      for (const [index, { param }] of parameters.entries()) {
        expect(found[index]!.param).toEqual(param);
        expect(found[index]!.slots[0]).toEqual(new Float32Array(param.length).fill(0.1));
      }
    }
  });

  test("two slots that change places", async () => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "slot", slot: 0 }, { op: "slot", slot: 1 }];
    const it = program(nodes, { param: 0, slots: [2, 1] });
    const [one, two] = [ordinaryArray(random, 65), ordinaryArray(random, 65)];
    const [found] = await updateOnDevice(rig, it, "vec4", [{ param: one, grad: one, slots: [one, two] }]);
    expect(found!.slots).toEqual([two, one]);
  });
});
