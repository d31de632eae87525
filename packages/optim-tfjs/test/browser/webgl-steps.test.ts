import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adam,
  adamax,
  adamw,
  asgd,
  ema,
  lamb,
  lion,
  nadam,
  radam,
  rmsprop,
  rprop,
  sgd,
} from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import { linearLoss, use } from "../backends.ts";
import { arrayOptimizer } from "../../../../test-support/array-optimizer.ts";
import { distance, ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { sizeFromShape } from "./webgl-support.ts";

beforeAll(() => use({ backend: "webgl" }));

// Blocks of 2 × 2 elements that are whole and that are filled up, in one batch and in several, and textures that tfjs folds.
const shapes: { readonly [name: string]: number[] } = {
  scalar: [],
  one: [1],
  odd: [7],
  matrix: [5, 3],
  even: [4, 6],
  cube: [3, 5, 7],
  four: [2, 3, 3, 5],
  long: [40_000],
};
const names = Object.keys(shapes);

/** The same steps drawn and on the reference. */
async function train(rule: UpdateRule, options: OptimWrapperOptions, steps: number, nanEvery?: number) {
  const random = randomNumbers(3);
  const initial = (name: string): Float32Array => ordinaryArray(random, sizeFromShape(shapes[name]!));
  const arrays = Object.fromEntries(names.map((name) => [name, initial(name)]));
  const variables = Object.fromEntries(
    names.map((name) => [name, tf.variable(tf.tensor(arrays[name]!.slice(), shapes[name]))]),
  );
  const optimizer = tfjsOptimizer(rule, variables);
  expect(optimizer.capabilities).toMatchObject({ fused: true, inPlace: false, decides: "device" });
  const ours = createOptimWrapper(optimizer, options);
  const reference = createOptimWrapper(arrayOptimizer(rule, arrays), options);
  for (let step = 0; step < steps; step += 1) {
    // One misses every third gradient, so that step counts differ.
    const present = names.filter((name) => name !== "odd" || step % 3 !== 1);
    const gradients = Object.fromEntries(
      present.map((name) => [name, ordinaryArray(random, sizeFromShape(shapes[name]!))]),
    );
    if (nanEvery !== undefined && step % nanEvery === 1) gradients["matrix"]![4] = Number.NaN;
    ours.updateParams(linearLoss(variables, gradients));
    reference.updateParams(() => gradients);
  }
  const found = await ours.optimizer.readParameters();
  const expected = await reference.optimizer.readParameters();
  const result = {
    distances: Object.fromEntries(names.map((name) => [name, distance(found[name]!, expected[name]!)])),
    metrics: await ours.readMetrics(),
    expectedMetrics: await reference.readMetrics(),
    state: await ours.stateDict(),
    expectedState: await reference.stateDict(),
  };
  ours.dispose();
  tf.dispose(variables);
  return result;
}

const exact = Object.fromEntries(names.map((name) => [name, 0]));

const rules: readonly (readonly [string, UpdateRule])[] = [
  ["SGD", sgd({ lr: 0.1 })],
  ["SGD with Nesterov momentum", sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 })],
  ["Adam", adam({ lr: 0.01 })],
  ["Adam, amsgrad", adam({ lr: 0.01, amsgrad: true })],
  ["AdamW, maximizing", adamw({ lr: 0.01, maximize: true })],
  ["NAdam", nadam({ lr: 0.01 })],
  ["Adamax", adamax({ lr: 0.01 })],
  ["RAdam", radam({ lr: 0.01 })],
  ["RMSProp, centered", rmsprop({ lr: 0.01, centered: true, momentum: 0.9 })],
  ["Rprop", rprop({ lr: 0.01 })],
  ["Lion", lion({ lr: 0.01 })],
  ["ASGD", asgd({ lr: 0.01 })],
  ["the average of Adam", ema(adam({ lr: 0.01 }))],
];

describe("what the host decides: to the bit where division, root and product round correctly, as here", () => {
  test.each(rules)("%s", async (_, rule) => {
    const { distances, metrics, expectedMetrics } = await train(rule, {}, 7);
    expect(distances).toEqual(exact);
    expect(metrics).toEqual(expectedMetrics);
  });

  test.each([
    ["windows of 3", { accumulativeCounts: 3 }],
    ["clipped by value", { clipGrad: { type: "value", clipValue: 0.3 } }],
    ["elements that are not finite count as 0", { onNonFinite: "zero" }],
  ] as const)("Adam, %s", async (_, options) => {
    const { distances } = await train(adam({ lr: 0.01 }), options, 9, 4);
    expect(distances).toEqual(exact);
  });
});

describe("what the device decides: within the rounding of its scalars", () => {
  test.each([
    ["clipped by norm", { clipGrad: { maxNorm: 1 } }],
    ["clipped by the largest element", { clipGrad: { maxNorm: 0.1, normType: Number.POSITIVE_INFINITY } }],
    ["clipped by the 3-norm", { clipGrad: { maxNorm: 1, normType: 3 } }],
    ["a static loss scale", { lossScale: 128 }],
    ["a dynamic loss scale, windows of 2", { lossScale: { growthInterval: 2 }, accumulativeCounts: 2 }],
    ["a dynamic loss scale, clipped by norm", { lossScale: { growthInterval: 3 }, clipGrad: { maxNorm: 1 } }],
    [
      "factors that are no powers of two",
      { lossScale: { growthInterval: 2, growthFactor: 1.5, backoffFactor: 0.7 } },
    ],
    ["skipping, with the norm", { onNonFinite: "skip", gradNorm: true }],
  ] as const)("Adam, %s", async (_, options) => {
    const { distances, metrics, expectedMetrics, state, expectedState } = await train(
      adam({ lr: 0.01 }),
      options,
      12,
      "lossScale" in options || "onNonFinite" in options ? 5 : undefined,
    );
    // Twelve steps of 0.01, each with a relative error of 3e-7 or of the norm's 1e-6.
    for (const name of names) expect(distances[name]).toBeLessThanOrEqual(1e-6);
    const { gradNorm, ...counts } = metrics;
    const { gradNorm: expectedNorm, ...expectedCounts } = expectedMetrics;
    expect(counts).toEqual(expectedCounts);
    // Relative where both are finite; NaN and ∞ are themselves, and none is none.
    const same = Object.is(gradNorm, expectedNorm);
    expect(same ? 1 : gradNorm! / expectedNorm!).toBeCloseTo(1, 6);
    expect(state.lossScaler).toEqual(expectedState.lossScaler);
    expect(state.optimizer.params.map(({ step }) => step)).toEqual(
      expectedState.optimizer.params.map(({ step }) => step),
    );
  });

  test.each(rules)("%s, a dynamic loss scale", async (_, rule) => {
    const { distances, state, expectedState } = await train(rule, { lossScale: { growthInterval: 3 } }, 7, 5);
    for (const name of names) expect(distances[name]).toBeLessThanOrEqual(2e-5);
    for (const [index, { scalarSlots }] of expectedState.optimizer.params.entries()) {
      for (const [slot, value] of Object.entries(scalarSlots))
        expect(state.optimizer.params[index]!.scalarSlots[slot]! - value).toBeCloseTo(0, 6);
    }
  });

  test("a rule with norms runs by ops, in the same optimizer", async () => {
    const { distances } = await train(lamb({ lr: 0.01 }), { lossScale: { growthInterval: 3 } }, 7, 5);
    for (const name of names) expect(distances[name]).toBeLessThanOrEqual(1e-5);
  });
});

test.each([2, 3, Number.POSITIVE_INFINITY])(
  "clipped by the %s-norm, a NaN reaches all parameters, as in the reference",
  async (normType) => {
    const { distances, expectedMetrics, metrics } = await train(
      sgd({ lr: 1 }),
      { clipGrad: { maxNorm: 1, normType } },
      2,
      5,
    );
    // NaN is at no distance from NaN.
    expect(distances).toEqual({ ...exact, odd: expect.any(Number) as number });
    expect([metrics.gradNorm, expectedMetrics.gradNorm]).toEqual([Number.NaN, Number.NaN]);
  },
);

test("gradients of 1e36 are clipped, not lost: the factor alone would be below what float32 holds", async () => {
  const w = tf.variable(tf.zeros([2]));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }), {
    lossScale: 64,
    clipGrad: { maxNorm: 1e-6 },
  });
  wrapper.updateParams(linearLoss({ w }, { w: [3e36, -4e36] }));
  // The norm is 5e36, so the step is (3, −4) × 1e-6 / 5.
  const [a, b] = await w.data();
  expect(a! / -6e-7).toBeCloseTo(1, 5);
  expect(b! / 8e-7).toBeCloseTo(1, 5);
  wrapper.dispose();
  w.dispose();
});

test.each(["auto", "ops"] as const)(
  "a loss scale stops at 2⁻¹²⁶, below which all is 0 there: %s",
  async (lowering) => {
    const w = tf.variable(tf.zeros([2]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }, { lowering }), {
      lossScale: { initScale: 2 ** -124, minScale: 2 ** -140 },
    });
    const scales: number[] = [];
    for (let step = 0; step < 4; step += 1) {
      wrapper.updateParams(linearLoss({ w }, { w: [1, Number.NaN] }));
      scales.push((await wrapper.readMetrics()).lossScale);
    }
    expect(scales).toEqual([2 ** -125, 2 ** -126, 2 ** -126, 2 ** -126]);
    wrapper.dispose();
    w.dispose();
  },
);
