import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { linearLoss, paths, use } from "./backends.ts";

describe.each(paths)("$name: what shares a variable's data keeps its values", (path) => {
  // With lr 1 and gradient 1, each step subtracts 1.
  const stepped = (w: tf.Variable): (() => void) => {
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }, path.options));
    const loss = linearLoss({ w }, { w: [1, 1] });
    return () => {
      wrapper.updateParams(loss);
    };
  };

  test("the tensor that it was made from", async () => {
    await use(path);
    const initial = tf.tensor1d([5, 6]);
    const w = tf.variable(initial);
    const step = stepped(w);
    step();
    step();
    expect([...w.dataSync()]).toEqual([3, 4]);
    expect([...initial.dataSync()]).toEqual([5, 6]);
  });

  test("clones, reshapes and assigned tensors, whenever they were taken", async () => {
    await use(path);
    const w = tf.variable(tf.tensor1d([5, 6]));
    const step = stepped(w);
    step();
    const clone = tf.clone(w);
    const reshaped = tf.reshape(w, [2, 1]);
    step();
    const assigned = tf.tensor1d([10, 20]);
    w.assign(assigned);
    step();
    expect([...w.dataSync()]).toEqual([9, 19]);
    expect([...clone.dataSync()]).toEqual([4, 5]);
    expect([...reshaped.dataSync()]).toEqual([4, 5]);
    expect([...assigned.dataSync()]).toEqual([10, 20]);
  });

  test("arrays that the caller gave or was given", async () => {
    await use(path);
    const array = Float32Array.of(5, 6);
    const w = tf.variable(tf.tensor1d(array));
    const step = stepped(w);
    step();
    const snapshot = w.dataSync();
    step();
    expect([...array]).toEqual([5, 6]);
    expect([...snapshot]).toEqual([4, 5]);
    expect([...w.dataSync()]).toEqual([3, 4]);
  });

  test("a loss that is the variable itself", async () => {
    await use(path);
    const w = tf.variable(tf.scalar(5));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }, path.options));
    const { loss } = wrapper.updateParams(() => w as tf.Tensor as tf.Scalar, { returnLoss: true });
    wrapper.updateParams(() => w as tf.Tensor as tf.Scalar);
    expect(loss.dataSync()[0]).toBe(5);
    loss.dispose();
    expect(w.isDisposed).toBe(false);
    expect(w.dataSync()[0]).toBe(3);
  });
});

describe.each(paths)("$name: gradients are only read", (path) => {
  test("those that share one buffer", async () => {
    await use(path);
    // d(a + b) is the same tensor for a and for b. With lr 1 and momentum 1 each step k subtracts 1 + … + k: 1, then 3.
    const variables = { a: tf.variable(tf.zeros([3])), b: tf.variable(tf.ones([3])) };
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1, momentum: 1 }), variables, path.options), {
      accumulativeCounts: 2,
    });
    for (let step = 0; step < 4; step += 1)
      wrapper.updateParams(() => tf.sum(tf.add(variables.a, variables.b)));
    expect([...variables.a.dataSync()]).toEqual([-3, -3, -3]);
    expect([...variables.b.dataSync()]).toEqual([-2, -2, -2]);
  });

  test("one tensor for two variables", async () => {
    await use(path);
    const variables = { a: tf.variable(tf.zeros([2])), b: tf.variable(tf.zeros([2])) };
    const loss = tf.customGrad((...[a, b]) => ({
      value: tf.add(tf.sum(a as tf.Tensor), tf.sum(b as tf.Tensor)),
      gradFunc: (dy) => {
        const gradient = tf.mul(dy, tf.tensor1d([1, 2]));
        return [gradient, gradient];
      },
    }));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), variables, path.options), {
      clipGrad: { type: "value", clipValue: 1.5 },
    });
    wrapper.updateParams(() => loss(variables.a, variables.b) as tf.Scalar);
    for (const variable of Object.values(variables)) expect([...variable.dataSync()]).toEqual([-1, -1.5]);
  });

  test("one tensor that is the caller's, for two variables", async () => {
    await use(path);
    const variables = { a: tf.variable(tf.zeros([2])), b: tf.variable(tf.zeros([2])) };
    const gradient = tf.tensor1d([1, 2]);
    const loss = tf.customGrad((...[a, b]) => ({
      value: tf.add(tf.sum(a as tf.Tensor), tf.sum(b as tf.Tensor)),
      gradFunc: () => [gradient, gradient],
    }));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), variables, path.options), {
      accumulativeCounts: 2,
      clipGrad: { maxNorm: 100 },
    });
    for (let step = 0; step < 2; step += 1)
      wrapper.updateParams(() => loss(variables.a, variables.b) as tf.Scalar);
    const before = tf.memory().numTensors;
    for (let step = 0; step < 2; step += 1)
      wrapper.updateParams(() => loss(variables.a, variables.b) as tf.Scalar);
    expect(tf.memory().numTensors).toBe(before);
    expect([...gradient.dataSync()]).toEqual([1, 2]);
    for (const variable of Object.values(variables)) expect([...variable.dataSync()]).toEqual([-2, -4]);
  });
});

test("tfjs-cpu: a float32 variable over integers gets floats", async () => {
  await use({ backend: "cpu" });
  // tfjs-cpu casts upwards without touching the data: the array of this float32 tensor is an Int32Array.
  const w = tf.variable(tf.cast(tf.tensor1d([1, 2], "int32"), "float32"));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.5 }), { w }));
  wrapper.updateParams(linearLoss({ w }, { w: [1, 1] }));
  expect([...w.dataSync()]).toEqual([0.5, 1.5]);
});
