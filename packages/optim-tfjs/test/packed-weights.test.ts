import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { linearLoss, paths, use } from "./backends.ts";

// tfjs-wasm packs the weights of these kernels at their first call, and keeps the packed copy for as long as the tensor lives.
describe.each(paths)("$name: forward passes see every step", (path) => {
  const kernels: readonly (readonly [string, readonly number[], (w: tf.Variable) => tf.Tensor])[] = [
    ["matMul", [1, 1], (w) => tf.matMul(tf.ones([1, 1]), w)],
    [
      "conv2d",
      [1, 1, 1, 1],
      (w) => tf.conv2d(tf.ones<tf.Rank.R4>([1, 1, 1, 1]), w as tf.Tensor as tf.Tensor4D, 1, "valid"),
    ],
    [
      "depthwiseConv2d",
      [1, 1, 1, 1],
      (w) => tf.depthwiseConv2d(tf.ones<tf.Rank.R4>([1, 1, 1, 1]), w as tf.Tensor as tf.Tensor4D, 1, "valid"),
    ],
    [
      "a fused bias",
      [1],
      (w) => tf.fused.matMul({ a: tf.zeros([1, 1]), b: tf.ones([1, 1]), bias: w, activation: "linear" }),
    ],
  ];

  test.each(kernels)("%s", async (_, shape, run) => {
    await use(path);
    const w = tf.variable(tf.tensor([5], [...shape]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }, path.options));
    const seen = (): number => tf.tidy(() => run(w).dataSync()[0] as number);
    expect(seen()).toBe(5);
    // The gradient is 1, the learning rate 1.
    wrapper.updateParams(linearLoss({ w }, { w: [1] }));
    expect(seen()).toBe(4);
    wrapper.updateParams(linearLoss({ w }, { w: [1] }));
    expect(seen()).toBe(3);
    wrapper.dispose();
    w.dispose();
  });
});
