import "@tensorflow/tfjs-backend-cpu";
import { createOptimWrapper, type LossScaler } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { webglBackend } from "../../src/webgl/private.ts";
import { linearLoss, use } from "../backends.ts";
import { replace, webgl } from "./webgl-support.ts";

beforeEach(() => use({ backend: "webgl" }));

const everything = {
  accumulativeCounts: 2,
  lossScale: "dynamic",
  clipGrad: { maxNorm: 1 },
  gradNorm: true,
} as const;

const usage = () => {
  const { numTensors, numBytes, numDataBuffers } = tf.memory();
  const { numBytesInGPU } = tf.memory() as unknown as { readonly numBytesInGPU: number };
  return { numTensors, numBytes, numDataBuffers, numBytesInGPU };
};

function small() {
  const [w, b] = [tf.tensor2d([0.5, -0.5, 0.25, 1, 0, -1], [3, 2]), tf.tensor1d([0.1, -0.1])].map(
    (initial) => {
      const variable = tf.variable(initial);
      initial.dispose();
      return variable;
    },
  ) as [tf.Variable, tf.Variable];
  const x = tf.tensor2d([1, 2, 3, -1, 0.5, 2], [2, 3]);
  const loss = (): tf.Scalar => tf.mean(tf.square(tf.add(tf.matMul(x, w), b)));
  return { w, b, x, loss };
}

test("ten thousand updates: the same tensors and the same bytes", { timeout: 600_000 }, async () => {
  const { w, b, loss } = small();
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 1e-4 }), { w, b }), everything);
  for (let update = 0; update < 8; update += 1) wrapper.updateParams(loss);
  await wrapper.readMetrics();
  const before = usage();
  for (let round = 0; round < 20; round += 1) {
    for (let update = 0; update < 500; update += 1) wrapper.updateParams(loss);
    // Lets the browser go on; nothing is read.
    await new Promise((resolve) => setTimeout(resolve));
    expect(usage()).toEqual(before);
  }
  const { steps, skipped } = await wrapper.readMetrics();
  expect(steps + skipped).toBe(5004);
  wrapper.dispose();
});

describe("what shares a variable's data keeps its values", () => {
  test("clones, reshapes, slices, reads under way, and the tensor that it was made from", async () => {
    const initial = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    const w = tf.variable(initial);
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
    const loss = linearLoss({ w }, { w: [1, 1, 1, 1] });
    wrapper.updateParams(loss);
    const [clone, reshaped, slice] = [tf.clone(w), tf.reshape(w, [4]), tf.slice(w, [1, 0], [1, 2])];
    const reading = w.data();
    wrapper.updateParams(loss);
    wrapper.updateParams(loss);
    expect([...(await reading)]).toEqual([0, 1, 2, 3]);
    expect([...(await clone.data())]).toEqual([0, 1, 2, 3]);
    expect([...(await reshaped.data())]).toEqual([0, 1, 2, 3]);
    expect([...(await slice.data())]).toEqual([2, 3]);
    expect([...(await initial.data())]).toEqual([1, 2, 3, 4]);
    expect([...(await w.data())]).toEqual([-2, -1, 0, 1]);
    wrapper.dispose();
    // Variables that are reshapes and slices of something else are read where they are.
    const views = { r: tf.variable(tf.reshape(clone, [4, 1])), s: tf.variable(slice) };
    const other = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), views));
    other.updateParams(linearLoss(views, { r: [1, 1, 1, 1], s: [1, 1] }));
    expect([...(await views.r.data())]).toEqual([-1, 0, 1, 2]);
    expect([...(await views.s.data())]).toEqual([1, 2]);
    expect([...(await clone.data())]).toEqual([0, 1, 2, 3]);
    other.dispose();
  });

  test("gradients that are one tensor, for two variables", async () => {
    const [a, b] = [tf.variable(tf.zeros([3])), tf.variable(tf.zeros([3]))];
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { a, b }), { accumulativeCounts: 2 });
    for (let update = 0; update < 4; update += 1) wrapper.updateParams(() => tf.sum(tf.add(a, b)));
    expect([...(await a.data()), ...(await b.data())]).toEqual([-2, -2, -2, -2, -2, -2]);
    wrapper.dispose();
  });
});

test("another backend in the middle of a run: the steps go on by ops, and come back", async () => {
  const run = async (backends: readonly string[]) => {
    await use({ backend: "webgl" });
    const { w, b, x, loss } = small();
    const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w, b }), everything);
    for (const backend of backends) {
      await use({ backend });
      for (let update = 0; update < 3; update += 1) wrapper.updateParams(loss);
    }
    const result = [...(await w.data()), ...(await b.data())];
    const metrics = await wrapper.readMetrics();
    wrapper.dispose();
    tf.dispose([w, b, x]);
    return { result, metrics };
  };
  const expected = await run(["webgl", "webgl", "webgl"]);
  const found = await run(["webgl", "cpu", "webgl"]);
  expect(found.metrics.steps).toBe(expected.metrics.steps);
  // Scalars err by 3e-7 a step in either way.
  for (const [index, value] of expected.result.entries()) expect(found.result[index]).toBeCloseTo(value, 5);
});

test("several optimizers on one variable, and variables that come and go", async () => {
  const { w, b, loss } = small();
  const before = tf.memory().numTensors;
  const buffers = tf.memory().numDataBuffers;
  const first = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
  const second = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.5 }), { w, b }), { lossScale: "dynamic" });
  const start = await w.data();
  first.updateParams(linearLoss({ w }, { w: [1, 1, 1, 1, 1, 1] }));
  // Adam's first step is 0.5 × sign.
  second.updateParams(linearLoss({ w, b }, { w: [1, 1, 1, -1, -1, -1], b: [1, 1] }));
  for (const [index, value] of (await w.data()).entries())
    expect(value - start[index]!).toBeCloseTo(index < 3 ? -1.5 : -0.5, 5);
  tf.tidy(() => {
    second.updateParams(loss);
  });
  second.updateParams(loss);
  second.optimizer.freeze(["b"]);
  const frozen = await b.data();
  second.updateParams(loss);
  expect(await b.data()).toEqual(frozen);
  second.optimizer.unfreeze(["b"]);
  second.updateParams(loss);
  expect(await b.data()).not.toEqual(frozen);
  // The states of each parameter are its own: b has missed one step.
  expect((await second.stateDict()).optimizer.params.map(({ step }) => step)).toEqual([5, 4]);
  first.dispose();
  second.updateParams(loss);
  second.dispose();
  await w.data();
  expect(tf.memory().numTensors).toBe(before);
  expect(tf.memory().numDataBuffers).toBe(buffers);
  const third = createOptimWrapper(tfjsOptimizer(sgd(), { w, b }));
  third.backward(loss);
  b.dispose();
  const values = await w.data();
  expect(() => third.step()).toThrow(expect.objectContaining({ code: "invalid-parameter" }));
  expect(await w.data()).toEqual(values);
  third.dispose();
});

test("a loss scaler that optimizers share, one of them by ops", async () => {
  const variables = ["a", "b", "c"].map(() => tf.variable(tf.zeros([3])));
  const maker = tfjsOptimizer(sgd(), { w: variables[0]! });
  const scaler: LossScaler = maker.createLossScaler({ initScale: 1024, growthInterval: 2 });
  const wrappers = variables.map((w, index) =>
    createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }, index === 2 ? { lowering: "ops" } : {}), {
      lossScale: scaler,
    }),
  );
  const iterate = async (bad: number): Promise<number> => {
    for (const [index, wrapper] of wrappers.entries()) {
      const w = variables[index]!;
      wrapper.updateParams(linearLoss({ w }, { w: [1, index === bad ? Number.NaN : 1, 1] }));
    }
    scaler.update();
    return scaler.readScale();
  };
  expect(await iterate(-1)).toBe(1024);
  expect(await iterate(-1)).toBe(2048);
  for (const [bad, scale] of [
    [0, 1024],
    [2, 512],
    [1, 256],
  ] as const)
    expect(await iterate(bad)).toBe(scale);
  expect(await iterate(-1)).toBe(256);
  expect(await iterate(-1)).toBe(512);
  // Seven iterations, one of which each has skipped.
  for (const w of variables) expect([...(await w.data())]).toEqual([-6, -6, -6]);
  for (const wrapper of wrappers) wrapper.dispose();
  maker.dispose();
  scaler.dispose();
});

test("a state goes to another optimizer and on to the bit", async () => {
  const run = async (parts: readonly number[]) => {
    const { w, b, loss } = small();
    const make = () => createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w, b }), everything);
    let wrapper = make();
    for (const [index, updates] of parts.entries()) {
      if (index > 0) {
        const state = await wrapper.stateDict();
        wrapper.dispose();
        wrapper = make();
        await wrapper.loadStateDict(state);
      }
      for (let update = 0; update < updates; update += 1) wrapper.updateParams(loss);
    }
    const result = [...(await w.data()), ...(await b.data())];
    wrapper.dispose();
    return result;
  };
  expect(await run([3, 4])).toEqual(await run([7]));
});

describe("where private parts of tfjs-webgl are not as expected, the rule runs by ops", () => {
  // The parts that tfjs itself works with stay: what differs is in an object that stands before the backend.
  const hidden = (name: string, value: unknown): object =>
    Object.create(webgl(), { [name]: { value } }) as object;
  /** A backend whose textures have another shape or are not packed. */
  const altered = (name: string, value: unknown): object => {
    const { texData } = webgl() as unknown as { readonly texData: { get(id: object): object } };
    const get = (id: object): object =>
      new Proxy(texData.get(id), {
        get: (data, key) => (key === name ? value : (Reflect.get(data, key) as unknown)),
      });
    return hidden("texData", { get });
  };

  test("as they are, they are taken", () => {
    expect(webglBackend(webgl())).toBe(webgl());
    expect(webglBackend(hidden("other", 1))).toBeDefined();
  });

  test.each([
    "makeTensorInfo",
    "uploadToGPU",
    "packTensor",
    "packedReshape",
    "disposeIntermediateTensorInfo",
  ])("no %s", (name) => expect(webglBackend(hidden(name, undefined))).toBeUndefined());

  test("no data of textures, no context, and none of WebGL 2", () => {
    expect(webglBackend(hidden("texData", undefined))).toBeUndefined();
    expect(webglBackend(hidden("texData", { get: () => undefined }))).toBeUndefined();
    expect(webglBackend(hidden("gpgpu", undefined))).toBeUndefined();
    expect(webglBackend(hidden("gpgpu", { gl: {} }))).toBeUndefined();
  });

  test.each([
    ["texShape", [2, 3]],
    ["texShape", null],
    ["isPacked", false],
    ["texture", null],
    ["texture", { texture: {} }],
    ["shape", undefined],
  ] as const)("data of textures whose %s is %s", (name, value) => {
    const { numTensors } = tf.memory();
    expect(webglBackend(altered(name, value))).toBeUndefined();
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  test("capabilities say so, and the steps are the same", async () => {
    vi.stubGlobal("WebGL2RenderingContext", undefined);
    const w = tf.variable(tf.tensor1d([1, 2, 3]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
    vi.unstubAllGlobals();
    expect(wrapper.optimizer.capabilities).toMatchObject({ fused: false, decides: "device", inPlace: false });
    wrapper.updateParams(linearLoss({ w }, { w: [1, 1, 1] }));
    expect([...(await w.data())]).toEqual([0, 1, 2]);
    wrapper.dispose();
    w.dispose();
  });

  test("a program that the driver does not take goes by ops", async () => {
    const w = tf.variable(tf.tensor1d([1, 2, 3]));
    const { gl } = webgl().gpgpu;
    const compile = gl.compileShader.bind(gl);
    // A shader that does not compile, in the place of ours.
    replace(gl, "compileShader", (shader: WebGLShader) => {
      if (gl.getShaderSource(shader)?.includes("signOf") === true) gl.shaderSource(shader, "no shader");
      compile(shader);
    });
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1, weightDecay: 0.5 }), { w }));
    wrapper.updateParams(linearLoss({ w }, { w: [1, 1, 1] }));
    // θ − (1 + θ ÷ 2)
    expect([...(await w.data())]).toEqual([-0.5, 0, 0.5]);
    wrapper.dispose();
  });

  test("where one draw writes fewer textures than a rule has outputs, it takes several", async () => {
    const w = tf.variable(tf.tensor1d([1, 2, 3]));
    const { gl } = webgl().gpgpu;
    const draws: number[] = [];
    for (const targets of [8, 2, 1]) {
      const getParameter = gl.getParameter.bind(gl);
      replace(gl, "getParameter", (name: GLenum) =>
        name === gl.MAX_DRAW_BUFFERS ? targets : (getParameter(name) as unknown),
      );
      const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1, amsgrad: true }), { w }));
      wrapper.backward(linearLoss({ w }, { w: [1, 1, 1] }));
      let count = 0;
      const draw = gl.drawArrays.bind(gl);
      replace(gl, "drawArrays", (...call: Parameters<typeof draw>) => {
        count += 1;
        draw(...call);
      });
      wrapper.step();
      draws.push(count);
      wrapper.dispose();
    }
    // Parameter and three slots.
    expect(draws).toEqual([1, 2, 4]);
    for (const [index, value] of (await w.data()).entries()) expect(value).toBeCloseTo(index + 0.7, 5);
  });
});
