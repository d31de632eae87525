import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adam, adamw, lamb, radam, rprop, sgd } from "@mm/optim-rules";
import { tfjsOptimizer, toTfOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { linearLoss, paths, use } from "./backends.ts";

// tfjs's debug mode (tf.enableDebugMode()) prints every kernel, and refuses to upload what is not finite.
beforeEach(() => {
  for (const method of ["log", "warn"] as const) vi.spyOn(console, method).mockImplementation(() => {});
});
afterEach(() => {
  tf.env().set("DEBUG", false);
  vi.restoreAllMocks();
});

interface Shared {
  readonly w: tf.Variable;
  readonly b: tf.Variable;
  /** Another tensor over the data of `b`. */
  readonly other: tf.Tensor;
}

function shared(): Shared {
  const [w, b] = [tf.variable(tf.tensor1d([1, 2])), tf.variable(tf.tensor1d([3, 4]))];
  return { w, b, other: tf.reshape(b, [2, 1]) };
}

const values = ({ w, b, other }: Shared): readonly number[][] =>
  [w, b, other].map((tensor) => [...tensor.dataSync()]);

const state = async (optimizer: { stateDict(): Promise<unknown> }, tensors: Shared): Promise<unknown> => [
  values(tensors),
  await optimizer.stateDict(),
];

describe.each(paths)("$name in debug mode", (path) => {
  test("NaN reaches all parameters, those too whose data something else refers to", async () => {
    await use(path);
    const tensors = shared();
    const { w, b } = tensors;
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1, momentum: 1 }), { w, b }, path.options));
    // 1 + 2 + 3 + 4 − 20 is below 0, where the logarithm is NaN, and with it the gradient of its square.
    const loss = (): tf.Scalar => tf.square(tf.log(tf.sub(tf.add(tf.sum(w), tf.sum(b)), 20)));
    tf.env().set("DEBUG", true);
    wrapper.updateParams(loss);
    expect(values(tensors)).toEqual([
      [NaN, NaN],
      [NaN, NaN],
      [3, 4],
    ]);
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 1, skipped: 0 });
    // Such a state loads, too: it is nothing that somebody uploads.
    const saved = await wrapper.stateDict();
    wrapper.updateParams(loss);
    await wrapper.loadStateDict(saved);
    expect(await wrapper.stateDict()).toEqual(saved);
    wrapper.optimizer.writeParameters({ w: Float32Array.of(NaN, Infinity) });
    expect([...w.dataSync()]).toEqual([NaN, Infinity]);
    wrapper.dispose();
  });

  test.each<readonly [string, UpdateRule, OptimWrapperOptions]>([
    ["SGD", sgd({ lr: 0.5, momentum: 0.5, nesterov: true }), {}],
    ["Adam without its first moment", adam({ betas: [0, 0.9] }), { onNonFinite: "skip" }],
    [
      "AdamW, a dynamic loss scale, clipped",
      adamw({ amsgrad: true }),
      { lossScale: { growthInterval: 2 }, clipGrad: { maxNorm: 1 } },
    ],
    // Its rectifier is the root of a negative number in the first steps, which is not used then.
    ["RAdam", radam(), { lossScale: 64 }],
    ["LAMB", lamb(), { clipGrad: { type: "value", clipValue: 0.5 } }],
    ["Rprop, with a norm", rprop({ lr: 0.1 }), { gradNorm: true }],
  ])("%s trains as without it", async (_, rule, options) => {
    await use(path);
    const [usual, checked] = [shared(), shared()];
    const train = async (tensors: Shared): Promise<unknown> => {
      const { w, b } = tensors;
      const wrapper = createOptimWrapper(tfjsOptimizer(rule, { w, b }, path.options), options);
      for (const gradient of [
        [0.5, -1],
        [0, 2],
        [0.25, 0.25],
      ]) {
        wrapper.updateParams(linearLoss({ w, b }, { w: [1, 2], b: gradient }));
      }
      const result = await state(wrapper, tensors);
      wrapper.dispose();
      return result;
    };
    const expected = await train(usual);
    tf.env().set("DEBUG", true);
    expect(await train(checked)).toEqual(expected);
  });
});

test("what a tf.Optimizer saves may hold what is not finite", async () => {
  await use({ backend: "cpu" });
  const w = tf.variable(tf.tensor1d([1, 2]));
  const optimizer = toTfOptimizer((variables) =>
    createOptimWrapper(tfjsOptimizer(sgd({ momentum: 1 }), variables)),
  );
  tf.env().set("DEBUG", true);
  optimizer.minimize(() => tf.square(tf.log(tf.sub(tf.sum(w), 20))), false, [w]);
  const [momentum] = await optimizer.getWeights();
  expect([...(momentum?.tensor.dataSync() ?? [])]).toEqual([NaN, NaN]);
  optimizer.dispose();
});
