import { type GradientClosure, referenceOptimizer } from "@mm/optim-conformance";
import { createOptimWrapper, type Optimizer, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adafactor, adamw, cautious, lamb, lion, muon, sgd } from "@mm/optim-rules";
import { createArena, type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { anyArray, randomNumbers } from "../../../test-support/numbers.ts";
import { hideWebAssembly, spyOnWebAssembly, withoutWebAssembly } from "./spied.ts";

const bfloat16 = { slotDtype: "bfloat16" } as const;

describe("bytes of a WebAssembly memory, of 1,048,576 parameters with AdamW", () => {
  // A vector of float32 is 4 MiB. There are the accumulator, two slots, and a copy of the parameter: 4 × 4; or 2 × 4 + 2 × 2.
  test.each([
    ["float32", {}, 16],
    ["bfloat16", bfloat16, 12],
    ["one slot in bfloat16", { slotDtype: { expAvg: "bfloat16" } } as const, 14],
  ])("%s", (_, options, mebibytes) => {
    const spied = spyOnWebAssembly();
    const optim = createOptimWrapper(wasmOptimizer(adamw(), { w: new Float32Array(2 ** 20) }, options));
    for (let step = 0; step < 2; step += 1) optim.updateParams(({ grad }) => grad("w").length);
    const bytes = spied.memories.map(({ buffer }) => buffer.byteLength);
    // Memories grow by pages of 64 KiB, by a mebibyte at least.
    const beyond = Math.max(...bytes) - mebibytes * 2 ** 20;
    expect(beyond).toBeGreaterThanOrEqual(0);
    expect(beyond).toBeLessThan(2 ** 20);
  });
});

const rules: readonly (() => UpdateRule)[] = [
  () => adamw({ lr: 0.1, amsgrad: true }),
  () => sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
  () => lion({ lr: 0.1 }),
  () => lamb({ lr: 0.1 }),
  () => adafactor({ lr: 0.1 }),
  () => cautious(adamw({ lr: 0.1 })),
  () => muon({ lr: 0.1 }),
];
const options: readonly OptimWrapperOptions[] = [
  {},
  { clipGrad: { maxNorm: 0.5 } },
  { clipGrad: { type: "value", clipValue: 0.1 }, onNonFinite: "zero" },
  { clipGrad: { type: "adaptive", clipFactor: 0.1 } },
  { lossScale: "dynamic", accumulativeCounts: 2 },
];

type Make = (
  w: Float32Array,
  shape: readonly number[],
  rule: UpdateRule,
) => Optimizer<WasmLoss, number> | Optimizer<GradientClosure, number>;

/** Parameters and slots after ten backwards, of which one has edges, with what the seed picks. */
async function trained(seed: number, make: Make): Promise<readonly unknown[]> {
  const random = randomNumbers(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const rule = pick(rules)();
  const shape = [1 + Math.floor(random() * 9), 1 + Math.floor(random() * 40)];
  const length = (shape[0] as number) * (shape[1] as number);
  const w = Float32Array.from({ length }, () => random() - 0.5);
  const optimizer = make(w, shape, rule) as Optimizer<GradientClosure, number>;
  const optim = createOptimWrapper(optimizer, pick(options));
  for (let count = 0; count < 10; count += 1) {
    optim.updateParams(({ grad, scale }) => {
      if (count === 7) grad("w").set(anyArray(random, length));
      else grad("w").forEach((_, i, g) => (g[i] = (random() - 0.5) * scale));
      return 0;
    });
  }
  const { params } = await optimizer.stateDict();
  return [rule.name, shape, (await optimizer.readParameters())["w"], params[0]?.slots];
}

const onReference: Make = (data, shape, rule) => referenceOptimizer(rule, { w: { data, shape } }, bfloat16);
const inArrays: Make = (w, shape, rule) =>
  wasmOptimizer(rule, [{ params: { w }, shapes: { w: shape } }], bfloat16) as Optimizer<WasmLoss, number>;
const inArena: Make = (w, shape, rule) => {
  const arena: { readonly [name: string]: Float32Array } = createArena({ w: shape });
  arena["w"]?.set(w);
  return wasmOptimizer(rule, arena, bfloat16);
};

test("random rules, shapes, options and gradients end where the reference ends, to the bit", async () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const expected = await trained(seed, onReference);
    expect(await trained(seed, inArrays), `seed ${seed}`).toEqual(expected);
    expect(await trained(seed, inArena), `seed ${seed}, arena`).toEqual(expected);
  }
});

test.each(withoutWebAssembly)("with %s too", async (_, namespace) => {
  hideWebAssembly(namespace);
  for (let seed = 0; seed < 5; seed += 1)
    expect(await trained(seed, inArrays)).toEqual(await trained(seed, onReference));
});

test("an average whose factor is below half a unit of bfloat16 stands still, so it is better left in float32", async () => {
  const expAvgSq = async (slotDtype: "bfloat16" | { readonly expAvg: "bfloat16" }): Promise<number> => {
    const optimizer = wasmOptimizer(
      adamw({ betas: [0.9, 0.999] }),
      { w: new Float32Array(1) },
      { slotDtype },
    );
    const optim = createOptimWrapper(optimizer);
    const update = (gradient: number): unknown => optim.updateParams(({ grad }) => (grad("w")[0] = gradient));
    update(1);
    for (let step = 0; step < 1000; step += 1) update(0);
    return (await optimizer.readSlots(["expAvgSq"])).expAvgSq["w"]?.[0] ?? Number.NaN;
  };
  // 0.001 is 1.024 · 2⁻¹⁰, and 0.999 of it is 0.13 of a unit (2⁻¹⁷) lower: rounded back, each time. In float32: 0.001 · 0.999¹⁰⁰⁰.
  expect(await expAvgSq("bfloat16")).toBe(131 * 2 ** -17);
  expect(await expAvgSq({ expAvg: "bfloat16" })).toBeCloseTo(0.001 * 0.999 ** 1000, 7);
});
