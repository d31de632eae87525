import "@tensorflow/tfjs-backend-cpu";
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam, adamw, ema, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { bitsOf } from "../../../../test-support/numbers.ts";
import { linearLoss, use } from "../backends.ts";
import { half, useHalfFloats } from "./half-support.ts";
import { glCalls, replace, webgl } from "./webgl-support.ts";

beforeAll(useHalfFloats);
beforeEach(() => use({ backend: "webgl" }));

const everything = {
  accumulativeCounts: 2,
  lossScale: { initScale: 256 },
  clipGrad: { maxNorm: 1 },
  gradNorm: true,
} as const;

function network(n: number) {
  const variables = Object.fromEntries(
    Array.from({ length: n }, (_, index) => [
      `v${index}`,
      tf.variable(tf.fill(index % 2 === 0 ? [30 + index, 20] : [20], 0.5)),
    ]),
  );
  const loss = (): tf.Scalar => tf.addN(Object.values(variables).map((v) => tf.mean(tf.square(v))));
  return { variables, loss };
}

function small() {
  const [w, b] = [
    tf.variable(tf.tensor2d([0.5, -0.5, 0.25, 1, 0, -1], [3, 2])),
    tf.variable(tf.tensor1d([0.125, -0.125])),
  ];
  const x = tf.tensor2d([1, 2, 3, -1, 0.5, 2], [2, 3]);
  const loss = (): tf.Scalar => tf.mean(tf.square(tf.add(tf.matMul(x, w), b)));
  return { w, b, x, loss };
}

/** Textures of our own that are there now, beside those that were before `run`. */
async function texturesLeft(run: () => Promise<void>): Promise<number> {
  const { gl } = webgl().gpgpu;
  const made = new Set<WebGLTexture>();
  const [create, remove, storage] = [gl.createTexture, gl.deleteTexture, gl.texStorage2D].map((method) =>
    (method as (...given: unknown[]) => unknown).bind(gl),
  );
  replace(gl, "texStorage2D", (...given: unknown[]) => {
    if (given[2] === gl.RGBA32UI) made.add(gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture);
    storage!(...given);
  });
  replace(gl, "createTexture", () => create!());
  replace(gl, "deleteTexture", (texture: WebGLTexture) => {
    made.delete(texture);
    remove!(texture);
  });
  await run();
  return made.size;
}

describe("a warm step of AdamW over n variables", () => {
  const warm = (n: number, options: OptimWrapperOptions) => {
    const { variables, loss } = network(n);
    const wrapper = createOptimWrapper(tfjsOptimizer(adamw(), variables), options);
    for (let update = 0; update < 4 * wrapper.accumulativeCounts; update += 1) wrapper.updateParams(loss);
    for (let rest = 1; rest < wrapper.accumulativeCounts; rest += 1) wrapper.updateParams(loss);
    wrapper.backward(loss);
    const step = glCalls(() => wrapper.step());
    wrapper.dispose();
    tf.dispose(variables);
    return step;
  };
  const nothingElse = { links: 0, uploads: 0, allocations: 0, reads: 0 };

  test.each([2, 6])("%i: one draw each, and nothing else", (n) => {
    expect(warm(n, {})).toEqual({ draws: n, ...nothingElse });
  });

  test.each<readonly [string, OptimWrapperOptions]>([
    ["clipped by norm", { clipGrad: { maxNorm: 1 } }],
    ["a static loss scale", { lossScale: 64 }],
    ["a dynamic loss scale, clipped by norm", { lossScale: { initScale: 64 }, clipGrad: { maxNorm: 1 } }],
    ["windows of 2", { lossScale: { initScale: 64 }, accumulativeCounts: 2 }],
  ])("%s: n to measure, one to fold, one to decide, n to update", (_, options) => {
    for (const n of [2, 6]) expect(warm(n, options)).toEqual({ draws: 2 * n + 2, ...nothingElse });
  });
});

test(
  "five thousand updates: the same tensors, the same bytes, and no texture more",
  { timeout: 600_000 },
  async () => {
    const w = tf.variable(tf.ones([3, 2]));
    const loss = (): tf.Scalar => tf.sum(tf.square(w));
    const usage = () => {
      const { numTensors, numBytes, numDataBuffers } = tf.memory();
      const { numBytesInGPU } = tf.memory() as unknown as { readonly numBytesInGPU: number };
      return { numTensors, numBytes, numDataBuffers, numBytesInGPU };
    };
    const left = await texturesLeft(async () => {
      const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 1e-4 }), { w }), everything);
      for (let update = 0; update < 8; update += 1) wrapper.updateParams(loss);
      await wrapper.readMetrics();
      const before = usage();
      const made = await texturesLeft(async () => {
        for (let round = 0; round < 10; round += 1) {
          for (let update = 0; update < 500; update += 1) wrapper.updateParams(loss);
          // Lets the browser go on; nothing is read.
          await new Promise((resolve) => setTimeout(resolve));
          expect(usage()).toEqual(before);
        }
      });
      expect(made).toBe(0);
      // Above 2048 half floats count by twos.
      const { steps, skipped } = await wrapper.readMetrics();
      expect(steps + skipped).toBe(2504);
      expect((await wrapper.stateDict()).optimizer.params.map(({ step }) => step)).toEqual([steps]);
      wrapper.dispose();
    });
    // All that was made is gone with the last optimizer.
    expect(left).toBe(0);
    w.dispose();
  },
);

test("a state goes to another optimizer and on to the bit, and its float32 comes back as it was", async () => {
  const make = ({ w, b }: ReturnType<typeof small>) =>
    createOptimWrapper(tfjsOptimizer(ema(adam({ lr: 0.1 })), { w, b }), everything);
  const [whole, parted] = [small(), small()];
  const expected = make(whole);
  const first = make(parted);
  for (let update = 0; update < 7; update += 1) expected.updateParams(whole.loss);
  // A window is open.
  for (let update = 0; update < 3; update += 1) first.updateParams(parted.loss);
  const state = await first.stateDict();
  first.dispose();
  const second = make(parted);
  await second.loadStateDict(state);
  expect(await second.stateDict()).toEqual(state);
  for (let update = 0; update < 4; update += 1) second.updateParams(parted.loss);
  expect(await second.stateDict()).toEqual(await expected.stateDict());
  expect(await second.optimizer.readParameters()).toEqual(await expected.optimizer.readParameters());
  for (const wrapper of [expected, second]) wrapper.dispose();
  for (const { w, b, x } of [whole, parted]) tf.dispose([w, b, x]);
});

test("a state of other backends loads, and this one's there", async () => {
  const { w, b, x, loss } = small();
  const here = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w, b }), everything);
  for (let update = 0; update < 4; update += 1) here.updateParams(loss);
  const state = await here.stateDict();
  here.dispose();
  await use({ backend: "cpu" });
  const there = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w, b }), everything);
  await there.loadStateDict(state);
  const moved = await there.stateDict();
  there.dispose();
  for (const [index, { slots, step }] of moved.optimizer.params.entries()) {
    const { master: _, ...others } = state.optimizer.params[index]!.slots;
    expect(slots).toEqual(others);
    expect(step).toBe(2);
  }
  await use({ backend: "webgl" });
  const back = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w, b }), everything);
  await back.loadStateDict(moved);
  expect((await back.stateDict()).optimizer.params.map(({ slots }) => slots["expAvg"])).toEqual(
    moved.optimizer.params.map(({ slots }) => slots["expAvg"]),
  );
  back.dispose();
  tf.dispose([w, b, x]);
});

describe("a variable that something else writes", () => {
  const tiny = 2 ** -14;
  const step = (w: tf.Variable): (() => tf.Scalar) => linearLoss({ w }, { w: [1, 1] });

  test("what was assigned counts, and elements that were not keep their master", async () => {
    const w = tf.variable(tf.ones([2]));
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: tiny }), { w }));
    for (let index = 0; index < 3; index += 1) wrapper.updateParams(step(w));
    // A master of 1 − 3 · 2⁻¹⁴ is 1 − 2⁻¹² to half floats, rounded to even: 1. Only the second is written.
    const [first] = await w.data();
    w.assign(tf.tensor1d([first!, 4]));
    expect((await wrapper.stateDict()).optimizer.params[0]!.slots["master"]).toEqual(
      Float32Array.of(1 - 3 * tiny, 4),
    );
    wrapper.updateParams(step(w));
    expect((await wrapper.optimizer.readParameters())["w"]).toEqual(Float32Array.of(1 - 4 * tiny, 4 - tiny));
    wrapper.optimizer.writeParameters({ w: Float32Array.of(0.1, 0.3) });
    expect((await wrapper.optimizer.readParameters())["w"]).toEqual(Float32Array.of(0.1, 0.3));
    expect([...(await w.data())].map(half)).toEqual([0.1, 0.3].map((value) => half(Math.fround(value))));
    wrapper.dispose();
    w.dispose();
  });

  test("several optimizers on one variable each see the other's steps", async () => {
    const w = tf.variable(tf.zeros([2]));
    const [first, second] = [1, 0.5].map((lr) => createOptimWrapper(tfjsOptimizer(sgd({ lr }), { w })));
    for (let index = 0; index < 3; index += 1) {
      first!.updateParams(step(w));
      second!.updateParams(step(w));
    }
    expect([...(await w.data())]).toEqual([-4.5, -4.5]);
    first!.dispose();
    second!.dispose();
    w.dispose();
  });

  test("clones, reshapes, reads under way and the tensor that it was made from keep their values", async () => {
    const initial = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    const w = tf.variable(initial);
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
    const loss = linearLoss({ w }, { w: [1, 1, 1, 1] });
    wrapper.updateParams(loss);
    const [clone, reshaped] = [tf.clone(w), tf.reshape(w, [4])];
    const reading = w.data();
    const parameters = wrapper.optimizer.readParameters();
    wrapper.updateParams(loss);
    for (const values of [await reading, await clone.data(), await reshaped.data(), (await parameters)["w"]!])
      expect([...values]).toEqual([0, 1, 2, 3]);
    expect([...(await initial.data())]).toEqual([1, 2, 3, 4]);
    expect([...(await w.data())]).toEqual([-1, 0, 1, 2]);
    wrapper.dispose();
    tf.dispose([initial, w, clone, reshaped]);
  });
});

test("frozen and unfrozen variables, and those that are gone", async () => {
  const { w, b, x, loss } = small();
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.5 }), { w, b }), {
    lossScale: { initScale: 256 },
  });
  wrapper.updateParams(loss);
  wrapper.optimizer.freeze(["b"]);
  const frozen = await wrapper.optimizer.readParameters();
  wrapper.updateParams(loss);
  const after = await wrapper.optimizer.readParameters();
  expect(after["b"]).toEqual(frozen["b"]);
  expect(after["w"]).not.toEqual(frozen["w"]);
  wrapper.optimizer.unfreeze(["b"]);
  tf.tidy(() => wrapper.updateParams(loss));
  expect((await wrapper.stateDict()).optimizer.params.map(({ step }) => step)).toEqual([3, 2]);
  wrapper.backward(loss);
  b.dispose();
  const before = (await wrapper.optimizer.readSlots(["expAvg"])).expAvg["w"]!;
  expect(() => wrapper.step()).toThrow(expect.objectContaining({ code: "invalid-parameter" }));
  expect(bitsOf((await wrapper.optimizer.readSlots(["expAvg"])).expAvg["w"]!)).toEqual(bitsOf(before));
  wrapper.dispose();
  tf.dispose([w, x]);
});

test("an evaluation point is of the masters, and what was trained comes back to the bit", async () => {
  const { w, b, x, loss } = small();
  const wrapper = createOptimWrapper(tfjsOptimizer(ema(adam({ lr: 0.1 })), { w, b }), {
    lossScale: { initScale: 256 },
  });
  for (let update = 0; update < 3; update += 1) wrapper.updateParams(loss);
  const trained = await wrapper.stateDict();
  wrapper.optimizer.swapIn();
  const [{ slots }] = trained.optimizer.params as [(typeof trained.optimizer.params)[0]];
  const average = Object.entries(slots).find(
    ([name]) => name.toLowerCase().includes("ema") || name.includes("average"),
  );
  expect((await wrapper.optimizer.readParameters())["w"]).toEqual(average![1]);
  expect(await w.data()).toEqual(average![1].map(half));
  wrapper.optimizer.swapOut();
  expect(await wrapper.stateDict()).toEqual(trained);
  wrapper.dispose();
  tf.dispose([w, b, x]);
});

test("another backend in the middle of a run: the steps go on there in float32, and come back", async () => {
  const run = async (backends: readonly string[]) => {
    await use({ backend: "webgl" });
    const w = tf.variable(tf.ones([2, 2]));
    // Squares of these are 1e-10 and 1e-12: half floats would have 0 for them.
    const loss = linearLoss({ w }, { w: [2 ** -16, 2 ** -16, -(2 ** -20), 2 ** -20] });
    const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 1e-3, eps: 1e-12 }), { w }), {
      onNonFinite: "skip",
    });
    for (const backend of backends) {
      await use({ backend });
      for (let update = 0; update < 3; update += 1) wrapper.updateParams(loss);
    }
    const { w: values } = await wrapper.optimizer.readParameters();
    const state = await wrapper.stateDict();
    wrapper.dispose();
    w.dispose();
    return { values: values!, params: state.optimizer.params[0]!, metrics: state.optimizer.steps };
  };
  const expected = await run(["webgl", "webgl", "webgl"]);
  const found = await run(["webgl", "cpu", "webgl"]);
  expect([found.params.step, found.metrics]).toEqual([9, 9]);
  // Nine steps of 1e-3; coming back the masters begin anew from half floats, whose unit there is 2⁻¹⁰.
  for (const [index, value] of expected.values.entries()) {
    expect(Math.abs(value - 1)).toBeCloseTo(9e-3, 4);
    expect(Math.abs(found.values[index]! - value)).toBeLessThan(2 ** -10);
  }
  for (const slot of ["expAvg", "expAvgSq"]) {
    for (const [index, value] of expected.params.slots[slot]!.entries())
      expect(found.params.slots[slot]![index]! / value).toBeCloseTo(1, 5);
  }
  // On the other backend variables are masters.
  const there = await run(["webgl", "cpu"]);
  for (const value of there.values) expect(Math.abs(value - 1)).toBeCloseTo(6e-3, 6);
});

test("where private parts of tfjs-webgl are not as expected ops run, and capabilities say so", async () => {
  vi.stubGlobal("WebGL2RenderingContext", undefined);
  const w = tf.variable(tf.tensor1d([1, 2, 3]));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), { w }));
  vi.unstubAllGlobals();
  expect(wrapper.optimizer.capabilities).toMatchObject({
    fused: false,
    decides: "device",
    inPlace: false,
    float32State: false,
  });
  wrapper.updateParams(linearLoss({ w }, { w: [1, 1, 1] }));
  expect([...(await w.data())]).toEqual([0, 1, 2]);
  wrapper.dispose();
  w.dispose();
});

test("a device that writes few textures at once takes several draws", async () => {
  const w = tf.variable(tf.tensor1d([1, 2, 3]));
  const { gl } = webgl().gpgpu;
  const draws: number[] = [];
  for (const targets of [8, 2, 1]) {
    const getParameter = gl.getParameter.bind(gl);
    replace(gl, "getParameter", (name: GLenum) =>
      name === gl.MAX_DRAW_BUFFERS ? targets : (getParameter(name) as unknown),
    );
    const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.125 }), { w }));
    wrapper.updateParams(linearLoss({ w }, { w: [1, 1, 1] }));
    wrapper.backward(linearLoss({ w }, { w: [1, 1, 1] }));
    draws.push(glCalls(() => wrapper.step()).draws);
    wrapper.dispose();
  }
  // Variable, two slots and the master.
  expect(draws).toEqual([1, 2, 4]);
  for (const [index, value] of (await w.data()).entries()) expect(value).toBeCloseTo(index + 1 - 6 / 8, 2);
  w.dispose();
});
