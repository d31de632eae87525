import "@tensorflow/tfjs-backend-cpu";
import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findHost } from "../../src/tfjs/host.ts";
import { useTfjs } from "../support/tfjs.ts";

// A new one for each: what the tests do to a backend stays with it.
beforeEach(async () => void (await useTfjs()));

const undo: (() => void)[] = [];
afterEach(() => {
  for (const restore of undo.splice(0)) restore();
});

/** Puts a value in the place of a part of the backend for the rest of the test. */
function replace(name: string, value: unknown): void {
  const backend = tf.backend();
  const before = Object.getOwnPropertyDescriptor(backend, name);
  Object.defineProperty(backend, name, { value, configurable: true, writable: true });
  undo.push(() => {
    if (before === undefined) Reflect.deleteProperty(backend, name);
    else Object.defineProperty(backend, name, before);
  });
}

/** Three steps of Adam: each moves by almost lr × sign(gradient). */
async function train(options?: { readonly lowering: "ops" }): Promise<unknown> {
  const w = tf.variable(tf.tensor1d([1, 2, 3]));
  const gradient = tf.tensor1d([1, -2, 0.5]);
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w }, options), {
    lossScale: "dynamic",
    clipGrad: { maxNorm: 10 },
  });
  for (let step = 0; step < 3; step += 1) wrapper.updateParams(() => tf.sum(tf.mul(w, gradient)));
  const { backend, optimizer } = wrapper;
  const trained = await optimizer.readParameters();
  wrapper.dispose();
  return {
    backend,
    inPlace: optimizer.capabilities.inPlace,
    w: Array.from(trained["w"]!, (value) => Math.round(1e4 * value) / 1e4),
  };
}

const w = [0.7, 2.3, 2.7];

test("with all parts there it runs in place", async () => {
  expect(await train()).toEqual({ backend: "webgpu", inPlace: true, w });
});

describe("where private parts of tfjs-backend-webgpu differ", () => {
  /** The backend, with something else in the place of its parts. */
  const differing = (parts: PropertyDescriptorMap): object => Object.create(tf.backend(), parts) as object;

  test("it is recognized by its parts", () => {
    expect(findHost(tf.backend())).toBeDefined();
    expect(findHost(differing({}))).toBeDefined();
  });

  test.each(["uploadToGPU", "endComputePassEncoder", "submitQueue", "refCount", "createTensorFromGPUData"])(
    "%s is gone",
    (name) => {
      expect(findHost(differing({ [name]: { value: undefined } }))).toBeUndefined();
    },
  );

  test.each([
    ["the device is another thing", { device: { value: {} } }],
    ["tensors are kept elsewhere", { tensorMap: { value: new Map() } }],
    ["an upload makes no buffer", { uploadToGPU: { value: () => {} } }],
    ["data has other references", { refCount: { value: () => 2 } }],
    ["a flush leaves work behind", { commandEncoder: { get: () => ({}) }, submitQueue: { value: () => {} } }],
  ])("%s", (_, parts) => {
    expect(findHost(differing(parts))).toBeUndefined();
  });

  test.each(["refCount", "createTensorFromGPUData"])("without %s the rule runs by ops", async (name) => {
    replace(name, undefined);
    expect(await train()).toEqual({ backend: "tfjs", inPlace: false, w });
  });
});

describe("what is not for WebGPU goes to @mm/optim-tfjs", () => {
  test("by request", async () => {
    expect(await train({ lowering: "ops" })).toEqual({ backend: "tfjs", inPlace: false, w });
  });

  test("a tf.Optimizer", () => {
    const variables = { w: tf.variable(tf.zeros([2])) };
    const optimizer = tfjsOptimizer(tf.train.sgd(0.1), variables);
    expect(optimizer.rule).toBe("tf.train SGD");
    optimizer.dispose();
  });

  test("other backends", async () => {
    await tf.setBackend("cpu");
    expect(await train()).toEqual({ backend: "tfjs", inPlace: true, w });
    await tf.setBackend("webgpu");
  });

  test("options are checked all the same", () => {
    const variables = { w: tf.variable(tf.zeros([2])) };
    expect(() => tfjsOptimizer(adam(), variables, { lowering: "fast" as never })).toThrow(
      expect.objectContaining({ code: "invalid-option" }),
    );
    expect(() => tfjsOptimizer(adam(), variables, { place: true } as never)).toThrow(
      expect.objectContaining({ code: "unknown-option" }),
    );
    expect(() => tfjsOptimizer(adam(), { w: tf.zeros([2]) as never })).toThrow(
      expect.objectContaining({ code: "invalid-parameter" }),
    );
  });
});
