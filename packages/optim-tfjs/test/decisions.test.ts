import { createOptimWrapper, type LossScaler, type OptimWrapperOptions } from "@mm/optim-core";
import { adam, nadam, sgd } from "@mm/optim-rules";
import type { UpdateRule } from "@mm/optim-core/rule";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test, vi } from "vitest";
import { linearLoss, paths, use } from "./backends.ts";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { distance, ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";

const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

describe.each(paths)("$name: steps that find what is not finite", (path) => {
  const both = (
    rule: UpdateRule,
    options: OptimWrapperOptions,
    initial: { readonly [name: string]: Float32Array },
  ) => {
    const variables = Object.fromEntries(
      Object.entries(initial).map(([name, data]) => [name, tf.variable(tf.tensor1d(data.slice()))]),
    );
    const arrays = Object.fromEntries(Object.entries(initial).map(([name, data]) => [name, data.slice()]));
    return {
      variables,
      ours: createOptimWrapper(tfjsOptimizer(rule, variables, path.options), options),
      reference: createOptimWrapper(arrayOptimizer(rule, arrays), options),
    };
  };

  test.each([
    ["Adam, a dynamic loss scale", adam({ lr: 0.01 }), { lossScale: { growthInterval: 3 } }],
    [
      "Adam, a dynamic loss scale, clipped",
      adam({ lr: 0.01 }),
      { lossScale: { growthInterval: 3 }, clipGrad: { maxNorm: 1 } },
    ],
    ["Adam, a static loss scale", adam({ lr: 0.01 }), { lossScale: 128 }],
    ["Adam, skipping", adam({ lr: 0.01 }), { onNonFinite: "skip" }],
    ["NAdam, skipping", nadam({ lr: 0.01 }), { onNonFinite: "skip" }],
  ] as const)("%s: as the reference decides", async (_, rule, options) => {
    await use(path);
    const random = randomNumbers(11);
    const { variables, ours, reference } = both(rule, options, {
      a: ordinaryArray(random, 50),
      b: ordinaryArray(random, 9),
    });
    for (let step = 0; step < 20; step += 1) {
      const gradients: { readonly [name: string]: Float32Array } = {
        a: ordinaryArray(random, 50),
        ...(step % 4 !== 2 && { b: ordinaryArray(random, 9) }),
      };
      if (step % 5 === 1) gradients["a"]![17] = bad[((step / 5) % 3) | 0]!;
      ours.updateParams(linearLoss(variables, gradients));
      reference.updateParams(() => gradients);
    }
    const [state, expected] = [await ours.stateDict(), await reference.stateDict()];
    const { gradNorm, ...metrics } = await ours.readMetrics();
    const { gradNorm: expectedNorm, ...expectedMetrics } = await reference.readMetrics();
    expect(metrics).toEqual(expectedMetrics);
    expect(metrics.skipped).toBe(4);
    expect(distance([gradNorm ?? 0], [expectedNorm ?? 0])).toBeLessThanOrEqual(1e-5);
    expect(state.lossScaler).toEqual(expected.lossScaler);
    for (const [index, { step, slots, scalarSlots }] of expected.optimizer.params.entries()) {
      const found = state.optimizer.params[index]!;
      expect(found.step).toBe(step);
      // Sixteen steps of 0.01; the scalars of each, float32 on a device, err by about 3e-7.
      for (const [name, slot] of Object.entries(slots))
        expect(distance(found.slots[name]!, slot)).toBeLessThanOrEqual(1e-6);
      for (const [name, slot] of Object.entries(scalarSlots))
        expect(found.scalarSlots[name]! / slot).toBeCloseTo(1, 5);
    }
    const [parameters, expectedParameters] = [
      await ours.optimizer.readParameters(),
      await reference.optimizer.readParameters(),
    ];
    for (const name of ["a", "b"])
      expect(distance(parameters[name]!, expectedParameters[name]!)).toBeLessThanOrEqual(1e-6);
    ours.dispose();
  });

  test("zero: elements that are not finite count as 0", async () => {
    await use(path);
    const { variables, ours } = both(
      sgd({ lr: 1 }),
      { onNonFinite: "zero", clipGrad: { maxNorm: 2.5 } },
      { w: new Float32Array(5) },
    );
    ours.updateParams(linearLoss(variables, { w: [3, Number.NaN, 4, Number.POSITIVE_INFINITY, 0] }));
    // The norm of (3, 0, 4, 0, 0) is 5, so the factor is 2.5 / (5 + 1e-6).
    const factor = 2.5 / 5.000001;
    expect(
      distance(variables["w"]!.dataSync<"float32">(), Float32Array.of(-3 * factor, 0, -4 * factor, 0, 0)),
    ).toBeLessThanOrEqual(1e-6);
    expect((await ours.readMetrics()).gradNorm).toBeCloseTo(5, 5);
    ours.dispose();
  });

  test("propagate: they reach the parameters, clipped by norm as PyTorch has it", async () => {
    await use(path);
    const { variables, ours } = both(
      sgd({ lr: 1 }),
      { clipGrad: { maxNorm: 1 } },
      { w: new Float32Array(3) },
    );
    ours.updateParams(linearLoss(variables, { w: [1, Number.POSITIVE_INFINITY, -1] }));
    // The norm is ∞, so the coefficient is 0; ∞ × 0 is NaN.
    expect([...variables["w"]!.dataSync()]).toEqual([0, Number.NaN, 0]);
    ours.updateParams(linearLoss(variables, { w: [1, Number.NaN, -1] }));
    expect([...variables["w"]!.dataSync()]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    ours.dispose();
  });

  test.each([
    ["throw", { onNonFinite: "throw" }],
    ["errorIfNonfinite", { clipGrad: { maxNorm: 1, errorIfNonfinite: true } }],
  ] as const)("%s: an error, in the step or at the next read, once", async (_, options) => {
    await use(path);
    const { variables, ours } = both(adam({ lr: 0.1 }), options, { w: Float32Array.of(1, 2) });
    ours.updateParams(linearLoss(variables, { w: [1, 1] }));
    const before = variables["w"]!.dataSync().slice();
    const state = (await ours.stateDict()).optimizer.params;
    const failing = async (): Promise<unknown> => {
      ours.updateParams(linearLoss(variables, { w: [1, Number.NaN] }));
      return ours.stateDict();
    };
    await expect(failing()).rejects.toMatchObject({ code: "non-finite-gradient" });
    ours.zeroGrad();
    expect(variables["w"]!.dataSync()).toEqual(before);
    expect((await ours.stateDict()).optimizer.params).toEqual(state);
    ours.dispose();
  });

  test("a finite gradient has a finite norm, however large or small", async () => {
    await use(path);
    // 2¹²⁷ squared is far beyond float32, 2⁻¹⁰⁰ squared far below.
    for (const size of [2 ** 126, 2 ** -100]) {
      const { variables, ours } = both(
        sgd({ lr: 1 }),
        { clipGrad: { maxNorm: size } },
        { w: new Float32Array(4) },
      );
      ours.updateParams(linearLoss(variables, { w: [size, size, size, size] }));
      // The norm is twice the size: each element becomes half of it, where 1e-6 does not matter.
      expect((await ours.readMetrics()).gradNorm).toBeCloseTo(2 * size, -Math.log10(size) + 5);
      // 1e-6 is added to the norm: much next to 2⁻⁹⁹, nothing next to 2¹²⁷.
      expect(variables["w"]!.dataSync()[0]! / size).toBeCloseTo(-size / (2 * size + 1e-6), 6);
      ours.dispose();
    }
  });
});

describe.each(paths.filter(({ inPlace }) => !inPlace))("$name", (path) => {
  test("an update reads nothing back, with everything on", async () => {
    await use(path);
    const w = tf.variable(tf.ones([3]));
    const wrapper = createOptimWrapper(tfjsOptimizer(adam(), { w }, path.options), {
      accumulativeCounts: 2,
      lossScale: "dynamic",
      clipGrad: { maxNorm: 1, errorIfNonfinite: true },
      gradNorm: true,
    });
    const backend = tf.backend();
    const reads = [vi.spyOn(tf.engine(), "readSync"), vi.spyOn(tf.engine(), "read")];
    for (let update = 0; update < 6; update += 1) wrapper.updateParams(() => tf.sum(tf.square(w)));
    for (const read of reads) expect(read).not.toHaveBeenCalled();
    // The spies see what they should.
    await wrapper.readMetrics();
    expect(reads[1]).toHaveBeenCalled();
    expect(backend).toBe(tf.backend());
    vi.restoreAllMocks();
    wrapper.dispose();
  });
});

describe.each(paths)("$name: a loss scaler", (path) => {
  const scaled = (w: tf.Variable, lossScale: LossScaler, options = path.options) =>
    createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }, options), { lossScale });

  test("is shared: one update an iteration, and any bad gradient backs it off", async () => {
    await use(path);
    const [a, b] = [tf.variable(tf.zeros([1])), tf.variable(tf.zeros([1]))];
    const maker = tfjsOptimizer(sgd(), { a }, path.options);
    const scaler = maker.createLossScaler({ initScale: 1024, growthInterval: 2 });
    const [first, second] = [scaled(a, scaler), scaled(b, scaler)];
    const iterate = async (gradient: number): Promise<number> => {
      first.updateParams(linearLoss({ a }, { a: [1] }));
      second.updateParams(linearLoss({ b }, { b: [gradient] }));
      scaler.update();
      return scaler.readScale();
    };
    expect(await iterate(1)).toBe(1024);
    expect(await iterate(1)).toBe(2048);
    expect(await iterate(Number.NaN)).toBe(1024);
    // Nothing stepped since: no-op.
    scaler.update();
    expect((await scaler.stateDict()).growthTracker).toBe(0);
    expect(await iterate(1)).toBe(1024);
    expect(await iterate(1)).toBe(2048);
    expect([a.dataSync()[0], b.dataSync()[0]]).toEqual([-5, -4]);
    for (const item of [first, second, maker, scaler]) item.dispose();
    expect(() => scaler.update()).toThrow(expect.objectContaining({ code: "disposed" }));
  });

  test("is latched by a window: an update in the middle changes nothing for it", async () => {
    await use(path);
    const [a, b] = [tf.variable(tf.zeros([1])), tf.variable(tf.zeros([1]))];
    const maker = tfjsOptimizer(sgd(), { a }, path.options);
    const scaler = maker.createLossScaler({ initScale: 1024, growthInterval: 1 });
    const first = scaled(a, scaler);
    const window = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { b }, path.options), {
      lossScale: scaler,
      accumulativeCounts: 2,
    });
    for (let iteration = 0; iteration < 4; iteration += 1) {
      first.updateParams(linearLoss({ a }, { a: [1] }));
      window.updateParams(linearLoss({ b }, { b: [1] }));
      scaler.update();
    }
    // Grown at each of four updates; each window was unscaled by the scale it began with: two steps of (1 + 1) / 2.
    expect(await scaler.readScale()).toBe(1024 * 2 ** 4);
    expect(b.dataSync()[0]).toBe(-2);
    for (const item of [first, window, maker, scaler]) item.dispose();
  });

  test("stops at its floor, and never grows out of float32", async () => {
    await use(path);
    const w = tf.variable(tf.zeros([1]));
    const maker = tfjsOptimizer(sgd(), { w }, path.options);
    const low = maker.createLossScaler({ initScale: 4, minScale: 1 });
    const wrapper = scaled(w, low);
    for (let iteration = 0; iteration < 4; iteration += 1) {
      wrapper.updateParams(linearLoss({ w }, { w: [Number.NaN] }));
      low.update();
    }
    expect(await low.readScale()).toBe(1);
    const high = maker.createLossScaler({ initScale: 2 ** 126, growthInterval: 1 });
    const other = scaled(w, high);
    for (let iteration = 0; iteration < 3; iteration += 1) {
      other.updateParams(linearLoss({ w }, { w: [0.001] }));
      high.update();
    }
    expect(await high.readScale()).toBe(2 ** 127);
    high.update(8);
    expect(await high.readScale()).toBe(8);
    for (const item of [wrapper, other, maker, low, high]) item.dispose();
  });

  test("works between an optimizer in place and one by ops", async () => {
    await use(path);
    const [a, b] = [tf.variable(tf.zeros([1])), tf.variable(tf.zeros([1]))];
    const maker = tfjsOptimizer(sgd(), { a }, path.options);
    const scaler = maker.createLossScaler({ initScale: 1024, growthInterval: 2 });
    const [auto, ops] = [scaled(a, scaler, {}), scaled(b, scaler, { lowering: "ops" })];
    const tensors: number[] = [];
    for (const gradient of [1, 1, Number.NaN, 1, 1]) {
      auto.updateParams(linearLoss({ a }, { a: [1] }));
      ops.updateParams(linearLoss({ b }, { b: [gradient] }));
      scaler.update();
      tensors.push(tf.memory().numTensors);
    }
    expect(await scaler.readScale()).toBe(2048);
    expect([a.dataSync()[0], b.dataSync()[0]]).toEqual([-5, -4]);
    expect(tensors.slice(2)).toEqual([tensors[2], tensors[2], tensors[2]]);
    for (const item of [auto, ops, maker, scaler]) item.dispose();
  });
});
