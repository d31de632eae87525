import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adafactor, adam, adamw, ema, lamb, lion, muon, nadam, rmsprop, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import { arrayOptimizer } from "../../../../test-support/array-optimizer.ts";
import { bitsOf, distance, randomNumbers } from "../../../../test-support/numbers.ts";
import { linearLoss } from "../backends.ts";
import { half, halfArray, useHalfFloats } from "./half-support.ts";
import { sizeFromShape } from "./webgl-support.ts";

beforeAll(useHalfFloats);

// Blocks of 2 × 2 elements that are whole and that are filled up, in one batch and in several.
const shapes: { readonly [name: string]: number[] } = {
  scalar: [],
  odd: [7],
  matrix: [5, 3],
  even: [4, 6],
  cube: [3, 5, 7],
};
const names = Object.keys(shapes);

/** The same steps drawn and on the reference, from weights and by gradients that half floats hold. */
async function train(rule: UpdateRule, options: OptimWrapperOptions, steps: number, nanEvery?: number) {
  const random = randomNumbers(3);
  const given = (name: string): Float32Array => halfArray(random, sizeFromShape(shapes[name]!));
  const arrays = Object.fromEntries(names.map((name) => [name, given(name)]));
  const variables = Object.fromEntries(
    names.map((name) => [name, tf.variable(tf.tensor(arrays[name]!.slice(), shapes[name]))]),
  );
  const optimizer = tfjsOptimizer(rule, variables);
  expect(optimizer.capabilities).toMatchObject({
    fused: true,
    inPlace: false,
    decides: "device",
    float32State: true,
  });
  const ours = createOptimWrapper(optimizer, options);
  const reference = createOptimWrapper(arrayOptimizer(rule, arrays), options);
  for (let step = 0; step < steps; step += 1) {
    // One misses every third gradient, so that step counts differ.
    const present = names.filter((name) => name !== "odd" || step % 3 !== 1);
    const gradients = Object.fromEntries(present.map((name) => [name, given(name)]));
    if (nanEvery !== undefined && step % nanEvery === 1) gradients["matrix"]![4] = Number.NaN;
    ours.updateParams(linearLoss(variables, gradients));
    reference.updateParams(() => gradients);
  }
  const result = {
    found: await ours.optimizer.readParameters(),
    expected: await reference.optimizer.readParameters(),
    shown: Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await variables[name]!.data()] as const)),
    ) as { readonly [name: string]: Float32Array },
    metrics: await ours.readMetrics(),
    expectedMetrics: await reference.readMetrics(),
    state: await ours.stateDict(),
    expectedState: await reference.stateDict(),
  };
  ours.dispose();
  tf.dispose(variables);
  return result;
}

const rules: readonly (readonly [string, UpdateRule])[] = [
  ["AdamW", adamw({ lr: 0.01 })],
  ["Adam, amsgrad", adam({ lr: 0.01, amsgrad: true })],
  ["SGD with momentum", sgd({ lr: 0.1, momentum: 0.9, weightDecay: 0.01 })],
  ["Lion", lion({ lr: 0.01 })],
  ["NAdam", nadam({ lr: 0.01 })],
  ["RMSProp, centered", rmsprop({ lr: 0.01, centered: true, momentum: 0.9 })],
  ["the average of Adam", ema(adam({ lr: 0.01 }))],
];

describe("masters and state are float32: to the bit where division, root and product round correctly, as here", () => {
  test.each(rules)("%s", async (_, rule) => {
    const { found, expected, shown, state, expectedState, metrics, expectedMetrics } = await train(
      rule,
      {},
      7,
    );
    for (const name of names) {
      expect(bitsOf(found[name]!)).toEqual(bitsOf(expected[name]!));
      // The model sees them rounded, by this device to the nearest.
      expect(shown[name]).toEqual(expected[name]!.map(half));
    }
    for (const [index, { slots, step }] of expectedState.optimizer.params.entries()) {
      const { master, ...ours } = state.optimizer.params[index]!.slots;
      expect(master).toEqual(expected[names[index]!]);
      expect(ours).toEqual(slots);
      expect(state.optimizer.params[index]!.step).toBe(step);
    }
    expect(metrics).toEqual(expectedMetrics);
  });

  test.each([
    ["windows of 3", { accumulativeCounts: 3 }],
    ["clipped by value", { clipGrad: { type: "value", clipValue: 0.3 } }],
    ["elements that are not finite count as 0", { onNonFinite: "zero" }],
  ] as const)("Adam, %s", async (_, options) => {
    const { found, expected } = await train(adam({ lr: 0.01 }), options, 9, 4);
    for (const name of names) expect(distance(found[name]!, expected[name]!)).toBe(0);
  });
});

describe("what the device decides: within the rounding of its scalars", () => {
  test.each([
    ["clipped by norm", { clipGrad: { maxNorm: 1 } }],
    ["clipped by the largest element", { clipGrad: { maxNorm: 0.1, normType: Number.POSITIVE_INFINITY } }],
    ["a static loss scale", { lossScale: 128 }],
    [
      "a dynamic loss scale, windows of 2",
      { lossScale: { initScale: 256, growthInterval: 2 }, accumulativeCounts: 2 },
    ],
    [
      "a dynamic loss scale, clipped by norm",
      { lossScale: { initScale: 256, growthInterval: 3 }, clipGrad: { maxNorm: 1 } },
    ],
    ["skipping, with the norm", { onNonFinite: "skip", gradNorm: true }],
  ] as const)("Adam, %s", async (_, options) => {
    const { found, expected, metrics, expectedMetrics, state, expectedState } = await train(
      adam({ lr: 0.01 }),
      options,
      12,
      "lossScale" in options || "onNonFinite" in options ? 5 : undefined,
    );
    // Twelve steps of 0.01, each with a relative error of 3e-7 or of the norm's 1e-6, as with float32 textures.
    for (const name of names) expect(distance(found[name]!, expected[name]!)).toBeLessThanOrEqual(1e-6);
    const { gradNorm, ...counts } = metrics;
    const { gradNorm: expectedNorm, ...expectedCounts } = expectedMetrics;
    expect(counts).toEqual(expectedCounts);
    const same = Object.is(gradNorm, expectedNorm);
    expect(same ? 1 : gradNorm! / expectedNorm!).toBeCloseTo(1, 6);
    expect(state.lossScaler).toEqual(expectedState.lossScaler);
    expect(state.optimizer.params.map(({ step }) => step)).toEqual(
      expectedState.optimizer.params.map(({ step }) => step),
    );
  });
});

describe("a loss scale means something", () => {
  /** A gradient of 1e-4 × 1e-4 at each element: half floats end at 2⁻²⁴, about 6e-8. */
  const small = (w: tf.Variable) => (): tf.Scalar => tf.mul(tf.mul(tf.sum(w), 1e-4), 1e-4);

  async function trained(options: OptimWrapperOptions): Promise<number> {
    const w = tf.variable(tf.ones([3]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1e6 }), { w }), options);
    for (let step = 0; step < 3; step += 1) wrapper.updateParams(small(w));
    const [found] = (await wrapper.optimizer.readParameters())["w"]!;
    wrapper.dispose();
    w.dispose();
    return found!;
  }

  test("without one a gradient of 1e-8 is 0, and nothing is learned", async () => {
    expect(await trained({})).toBe(1);
  });

  // 3 × 1e6 × 1e-8 = 0.03, of gradients that have the 11 bits of half floats, twice 1e-4 and their product: 3 × 2⁻¹¹ < 0.2 %.
  test.each([4096, { initScale: 4096 }])("with %o it trains", async (lossScale) => {
    const moved = 1 - (await trained({ lossScale }));
    expect(Math.abs(moved / 0.03 - 1)).toBeLessThan(0.002);
  });

  test("a scale that half floats do not hold is found, the step skipped, and the scale halved", async () => {
    const w = tf.variable(tf.ones([3]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1e6 }), { w }), { lossScale: "dynamic" });
    const scales: number[] = [];
    for (let step = 0; step < 3; step += 1) {
      wrapper.updateParams(small(w));
      scales.push((await wrapper.readMetrics()).lossScale);
    }
    // It begins at 65536; the largest half float is 65504.
    expect(scales).toEqual([32_768, 32_768, 32_768]);
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 2, skipped: 1 });
    expect(Math.abs((1 - (await wrapper.optimizer.readParameters())["w"]![0]!) / 0.02 - 1)).toBeLessThan(
      0.002,
    );
    wrapper.dispose();
    w.dispose();
  });

  test("a scaler that optimizers share, whose scale is no half float", async () => {
    const variables = ["a", "b"].map(() => tf.variable(tf.zeros([3])));
    const maker = tfjsOptimizer(sgd(), { w: variables[0]! });
    const scaler = maker.createLossScaler({ initScale: 2 ** 17, growthInterval: 2 });
    const wrappers = variables.map((w) =>
      createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }), { lossScale: scaler }),
    );
    const scales: number[] = [];
    for (let step = 0; step < 7; step += 1) {
      for (const [index, wrapper] of wrappers.entries())
        wrapper.updateParams(
          linearLoss({ w: variables[index]! }, { w: [1, 1, step === 3 && index === 1 ? Number.NaN : 1] }),
        );
      scaler.update();
      scales.push(await scaler.readScale());
    }
    // 2¹⁷ and 2¹⁶ are infinite; the fourth is not finite in b; two clean ones double the scale.
    expect(scales.map(Math.log2)).toEqual([16, 15, 15, 14, 14, 15, 15]);
    const values = await Promise.all(variables.map((w) => w.data()));
    expect(values.map((data) => [...data])).toEqual([
      [-5, -5, -5],
      [-4, -4, -4],
    ]);
    for (const wrapper of wrappers) wrapper.dispose();
    maker.dispose();
    // It outlives the optimizers.
    expect(await scaler.readScale()).toBe(2 ** 15);
    scaler.dispose();
  });
});

test("steps that are too small for half floats add up in the master", async () => {
  const w = tf.variable(tf.ones([2, 2]));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 2 ** -14 }), { w }));
  const loss = linearLoss({ w }, { w: [1, 1, 1, 1] });
  // Half floats below 1 are 2⁻¹¹ apart: a step of 2⁻¹⁴ alone is lost.
  for (let step = 0; step < 8; step += 1) wrapper.updateParams(loss);
  expect([...(await w.data())]).toEqual(Array(4).fill(1 - 2 ** -11));
  wrapper.dispose();
  w.dispose();
});

test("gradients wait in float32, whatever they add up to", async () => {
  const w = tf.variable(tf.zeros([3]));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }), { accumulativeCounts: 4 });
  // 40,000 + 40,000 is beyond half floats, and 1 / 1024 beside it is below their precision.
  for (const gradient of [40_000, 40_000, 2 ** -8])
    wrapper.updateParams(linearLoss({ w }, { w: [gradient, -gradient, gradient] }));
  const sum = 80_000 + 2 ** -8;
  const pending = await wrapper.optimizer.readGradients();
  // Each backward is a quarter of its window, which is exact.
  expect([...pending["w"]!].map((value) => 4 * value)).toEqual([sum, -sum, sum].map(Math.fround));
  wrapper.optimizer.writeGradients({ w: Float32Array.of(0.1, 70_000, 3e-9) });
  expect((await wrapper.optimizer.readGradients())["w"]).toEqual(Float32Array.of(0.1, 70_000, 3e-9));
  wrapper.dispose();
  w.dispose();
});

test("norms are float32: of a parameter, and of all", async () => {
  const w = tf.variable(tf.zeros([2]));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd(), { w }), { gradNorm: true });
  wrapper.updateParams(linearLoss({ w }, { w: [48_000, 64_000] }));
  // 3, 4 and 5 times 16,000: beyond half floats.
  expect(await wrapper.readMetrics({ per: "parameter" })).toMatchObject({
    gradNorm: 80_000,
    gradNorms: { w: 80_000 },
  });
  wrapper.dispose();
  w.dispose();
});

describe("tf.train.adam beside it, on a network of 20, 64 and 4", () => {
  function problem() {
    const random = randomNumbers(5);
    const dense = (shape: [number, number]): tf.Variable =>
      tf.variable(
        tf.tensor(
          Float32Array.from({ length: shape[0] * shape[1] }, () => (random() - 0.5) / 2),
          shape,
        ),
      );
    const x = tf.tensor(
      Float32Array.from({ length: 64 * 20 }, () => 2 * random() - 1),
      [64, 20],
    );
    const classes = tf.oneHot(
      tf.tensor1d(
        Int32Array.from({ length: 64 }, () => Math.floor(4 * random())),
        "int32",
      ),
      4,
    );
    const y = tf.cast(classes, "float32");
    const variables = {
      a: dense([20, 64]),
      b: tf.variable(tf.zeros([64])),
      c: dense([64, 4]),
      d: tf.variable(tf.zeros([4])),
    };
    const loss = (): tf.Scalar => {
      const hidden = tf.relu(tf.add(tf.matMul(x, variables.a), variables.b));
      const logits = tf.add(tf.matMul(hidden, variables.c), variables.d);
      return tf.losses.softmaxCrossEntropy(y, logits);
    };
    return { variables, loss, dispose: () => tf.dispose([x, y, classes, ...Object.values(variables)]) };
  }

  const lossOf = async (loss: () => tf.Scalar): Promise<number> => {
    const value = tf.tidy(loss);
    const [number] = await value.data();
    value.dispose();
    return number!;
  };

  test("it turns to NaN, and AdamW trains", async () => {
    const theirs = problem();
    const adamOfTf = tf.train.adam(0.01);
    for (let step = 0; step < 40; step += 1)
      adamOfTf.minimize(theirs.loss, false, Object.values(theirs.variables));
    expect(await lossOf(theirs.loss)).toBeNaN();
    adamOfTf.dispose();
    theirs.dispose();

    const ours = problem();
    const before = await lossOf(ours.loss);
    const wrapper = createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.01 }), ours.variables), {
      lossScale: 1024,
    });
    for (let step = 0; step < 40; step += 1) wrapper.updateParams(ours.loss);
    // It fits 64 random labels by 1604 weights: ln 4 = 1.39 at first.
    expect(await lossOf(ours.loss)).toBeLessThan(before / 2);
    wrapper.dispose();
    ours.dispose();
  });
});

describe("what is not drawn is refused by name", () => {
  test.each([
    ["LAMB", lamb()],
    ["Muon", muon()],
    ["Adafactor", adafactor()],
  ] as const)("%s, when it is made", async (name, rule) => {
    const w = tf.variable(tf.ones([4, 2]));
    const { numTensors } = tf.memory();
    expect(() => tfjsOptimizer(rule as UpdateRule, { w })).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining(name) as string }),
    );
    expect(tf.memory().numTensors).toBe(numTensors);
    const byOps = tfjsOptimizer(rule as UpdateRule, { w }, { lowering: "ops" });
    expect(byOps.capabilities).toMatchObject({ fused: false, float32State: false });
    byOps.dispose();
    w.dispose();
  });

  test("clipping by another norm, before anything has changed", async () => {
    const w = tf.variable(tf.ones([3]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }), {
      clipGrad: { maxNorm: 1, normType: 3 },
    });
    wrapper.backward(linearLoss({ w }, { w: [1, 1, 1] }));
    expect(() => wrapper.step()).toThrow(expect.objectContaining({ code: "unsupported" }));
    expect([...(await w.data())]).toEqual([1, 1, 1]);
    wrapper.dispose();
    w.dispose();
  });
});
