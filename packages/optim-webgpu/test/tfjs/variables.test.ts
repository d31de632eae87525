import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { scoped } from "@mm/optim-tfjs/host";
import { snapshot, tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import { countDevice } from "../support/counted.ts";
import { readFloats, storageBuffer } from "../support/read.ts";
import { useTfjs } from "../support/tfjs.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await useTfjs();
});

const valuesOf = async (tensor: tf.Tensor): Promise<number[]> => Array.from(await tensor.data());

/** Each step subtracts 1: the learning rate is 1, and the gradient of a sum. */
function stepper(w: tf.Variable): () => void {
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
  return () => void wrapper.updateParams(() => tf.sum(w));
}

describe("what shares a variable's data keeps its values", () => {
  test("the tensor that it was made from", async () => {
    const initial = tf.tensor1d([5, 6]);
    const w = tf.variable(initial);
    const step = stepper(w);
    step();
    step();
    expect(await valuesOf(w)).toEqual([3, 4]);
    expect(await valuesOf(initial)).toEqual([5, 6]);
  });

  test("clones, reshapes and assigned tensors, whenever they were taken", async () => {
    const w = tf.variable(tf.tensor1d([5, 6]));
    const step = stepper(w);
    step();
    const [clone, reshaped] = [tf.clone(w), tf.reshape(w, [2, 1])];
    step();
    const assigned = tf.tensor1d([10, 20]);
    w.assign(assigned);
    step();
    expect(await valuesOf(w)).toEqual([9, 19]);
    expect(await valuesOf(clone)).toEqual([4, 5]);
    expect(await valuesOf(reshaped)).toEqual([4, 5]);
    expect(await valuesOf(assigned)).toEqual([10, 20]);
  });

  test("a buffer of the caller's", async () => {
    const buffer = storageBuffer(device, Float32Array.of(5, 6));
    const w = tf.tidy(() => tf.variable(tf.tensor({ buffer, zeroCopy: true }, [2], "float32")));
    stepper(w)();
    expect(await valuesOf(w)).toEqual([4, 5]);
    expect([...(await readFloats(device, { buffer }))]).toEqual([5, 6]);
  });

  test("a loss that is the variable itself", async () => {
    const w = tf.variable(tf.scalar(5));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
    const itself = (): tf.Scalar => w as tf.Tensor as tf.Scalar;
    const { loss } = wrapper.updateParams(itself, { returnLoss: true });
    wrapper.updateParams(itself);
    expect(await valuesOf(loss)).toEqual([5]);
    expect(await valuesOf(w)).toEqual([3]);
  });

  test("writeParameters too", async () => {
    const initial = tf.tensor1d([5, 6]);
    const w = tf.variable(initial);
    const { optimizer } = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
    optimizer.writeParameters({ w: Float32Array.of(7, 8) });
    expect(await valuesOf(w)).toEqual([7, 8]);
    expect(await valuesOf(initial)).toEqual([5, 6]);
  });
});

describe("work of tfjs's around a step", () => {
  test("what was recorded before reads the weights before", async () => {
    const w = tf.variable(tf.tensor1d([5, 6]));
    const { optimizer } = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
    await optimizer.readParameters();
    // Neither is submitted when the step comes, which has no backward of its own.
    const before = tf.mul(w, 10);
    optimizer.writeGradients({ w: Float32Array.of(1, 1) });
    optimizer.step();
    const after = tf.mul(w, 10);
    expect(await valuesOf(before)).toEqual([50, 60]);
    expect(await valuesOf(after)).toEqual([40, 50]);
    const between = tf.mul(w, 10);
    optimizer.writeParameters({ w: Float32Array.of(1, 2) });
    expect(await valuesOf(between)).toEqual([40, 50]);
  });

  test("values that were read before are not given again, nor by a read that is under way", async () => {
    const w = tf.variable(tf.tensor1d([5, 6]));
    const step = stepper(w);
    expect(await valuesOf(w)).toEqual([5, 6]);
    step();
    expect(await valuesOf(w)).toEqual([4, 5]);
    const reading = w.data();
    step();
    expect([...(await reading)]).toEqual([4, 5]);
    expect(await valuesOf(w)).toEqual([3, 4]);
  });

  test("a variable whose values another part of the program assigns", async () => {
    const w = tf.variable(tf.tensor1d([5, 6]));
    const step = stepper(w);
    for (let round = 0; round < 3; round += 1) {
      tf.tidy(() => w.assign(tf.tensor1d([10 * round, 0])));
      step();
      expect(await valuesOf(w)).toEqual([10 * round - 1, -1]);
    }
  });

  test("a variable of two optimizers, at once and one after the other", async () => {
    const w = tf.variable(tf.tensor1d([5, 6]));
    const [first, second] = [stepper(w), stepper(w)];
    first();
    second();
    first();
    expect(await valuesOf(w)).toEqual([2, 3]);
    stepper(w)();
    expect(await valuesOf(w)).toEqual([1, 2]);
  });

  test("variables of any shape, empty ones too", async () => {
    const variables = {
      scalar: tf.variable(tf.scalar(1)),
      empty: tf.variable(tf.zeros([2, 0])),
      five: tf.variable(tf.ones([5])),
      cube: tf.variable(tf.ones([2, 3, 4])),
    };
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.5 }), variables), { lossScale: 8 });
    const { scalar, five, cube } = variables;
    for (let step = 0; step < 2; step += 1)
      wrapper.updateParams(() => tf.add<tf.Scalar>(tf.add(scalar, tf.sum(five)), tf.sum(cube)));
    expect(await valuesOf(scalar)).toEqual([0]);
    expect(await valuesOf(five)).toEqual([0, 0, 0, 0, 0]);
    expect(await valuesOf(cube)).toEqual(Array.from({ length: 24 }, () => 0));
    const { empty } = await wrapper.optimizer.readParameters();
    expect(empty).toEqual(new Float32Array(0));
  });
});

describe("snapshot", () => {
  test("keeps its values, and leaves the variable where it is", async () => {
    const w = tf.variable(tf.tensor2d([5, 6], [2, 1]));
    const step = stepper(w);
    step();
    const { dataId } = w;
    const copy = snapshot(w);
    step();
    expect(w.dataId).toBe(dataId);
    expect(copy.shape).toEqual([2, 1]);
    expect(await valuesOf(copy)).toEqual([4, 5]);
    expect(await valuesOf(w)).toEqual([3, 4]);
    // A clone is safe too; the variable moves.
    const clone = tf.clone(w);
    step();
    expect(w.dataId).not.toBe(dataId);
    expect(await valuesOf(clone)).toEqual([3, 4]);
  });

  test("of a scalar and of nothing; it leaves nothing behind", async () => {
    const [scalar, nothing] = [tf.scalar(3), tf.zeros([0, 2])];
    const before = tf.memory().numTensors;
    const copies = [snapshot(scalar), snapshot(nothing)];
    expect(tf.memory().numTensors).toBe(before + 2);
    expect(copies.map(({ shape }) => shape)).toEqual([[], [0, 2]]);
    expect(await valuesOf(copies[0]!)).toEqual([3]);
  });
});

describe("closures", () => {
  test("gradients that share one buffer are only read", async () => {
    // d(a + b) is the same tensor for both. With lr 1 and momentum 1 step k subtracts 1 + … + k: 1, then 3.
    const variables = { a: tf.variable(tf.zeros([3])), b: tf.variable(tf.ones([3])) };
    const optimizer = tfjsOptimizer(sgd({ lr: 1, momentum: 1 }), variables);
    const wrapper = createOptimWrapper(optimizer, { accumulativeCounts: 2 });
    for (let step = 0; step < 4; step += 1)
      wrapper.updateParams(() => tf.sum(tf.add(variables.a, variables.b)));
    expect(await valuesOf(variables.a)).toEqual([-3, -3, -3]);
    expect(await valuesOf(variables.b)).toEqual([-2, -2, -2]);
  });

  test("one that throws changes nothing, and what comes after is right", async () => {
    const w = tf.variable(tf.tensor1d([5, 6]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }), {
      lossScale: { initScale: 4, growthInterval: 1 },
    });
    const failing = (): never => {
      wrapper.updateParams(() => {
        tf.sum(tf.square(w));
        throw new Error("no batch");
      });
      throw new Error("not thrown");
    };
    for (let round = 0; round < 2; round += 1) {
      expect(failing).toThrow("no batch");
      wrapper.updateParams(() => tf.sum(w));
    }
    expect(await valuesOf(w)).toEqual([3, 4]);
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 2, lossScale: 16 });
    expect(failing).toThrow("no batch");
    wrapper.dispose();
    // The closure's recording is no longer in the way.
    expect(await valuesOf(tf.square(w))).toEqual([9, 16]);
  });

  test("in a tidy of the caller's", async () => {
    const w = tf.tidy(() => tf.variable(tf.tensor1d([5, 6])));
    const wrapper = scoped(() => createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }), { lossScale: 2 }));
    for (let step = 0; step < 2; step += 1) scoped(() => wrapper.updateParams(() => tf.sum(w)));
    expect(await valuesOf(w)).toEqual([3, 4]);
  });
});

test("dispose frees buffers and tensors", async () => {
  const counted = countDevice(device);
  const w = tf.variable(tf.tensor1d([5, 6]));
  stepper(w)();
  const [tensors, { buffers }] = [tf.memory().numTensors, counted.alive];
  const optimizer = tfjsOptimizer(sgd({ lr: 1, momentum: 0.9 }), { w });
  const wrapper = createOptimWrapper(optimizer, { lossScale: "dynamic", accumulativeCounts: 2 });
  for (let step = 0; step < 4; step += 1) wrapper.updateParams(() => tf.sum(w));
  await wrapper.stateDict();
  wrapper.dispose();
  expect(tf.memory().numTensors).toBe(tensors);
  // Buffers that tfjs keeps for later are not ours.
  expect(counted.alive.buffers - buffers).toBeLessThanOrEqual(4);
  expect(() => wrapper.updateParams(() => tf.sum(w))).toThrow(expect.objectContaining({ code: "disposed" }));
});
