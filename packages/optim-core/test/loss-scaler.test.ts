import { createOptimWrapper, type LossScale, type LossScaler } from "@mm/optim-core";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients } from "./backend.ts";

function model(lossScale: LossScale | LossScaler, accumulativeCounts = 1) {
  const w = new Float32Array(1);
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w }), { lossScale, accumulativeCounts });
  const step = (gradient: number): boolean => wrapper.updateParams(gradients({ w: [gradient] })).updated;
  return { w, wrapper, step, scale: async () => (await wrapper.readMetrics()).lossScale };
}

const makeScaler = (options: LossScale): LossScaler =>
  arrayOptimizer(descent(), { w: new Float32Array(1) }).createLossScaler(options);

test("the scale goes in with the loss and out before the update: powers of two leave no trace", () => {
  const { w, step } = model(1024);
  for (const gradient of [0.1, -3, 7]) step(gradient);
  const plain = new Float32Array(1);
  for (const gradient of [0.1, -3, 7]) plain[0] = Math.fround((plain[0] as number) - Math.fround(gradient));
  expect(w).toEqual(plain);
});

test("it grows after growthInterval clean steps, and backs off at once, down to minScale", async () => {
  const { w, wrapper, step, scale } = model({
    initScale: 8,
    growthInterval: 2,
    growthFactor: 4,
    minScale: 2,
  });
  const seen: number[] = [];
  for (const gradient of [1, 1, 1, Number.NaN, 1, 1, Number.NaN, Number.NaN, Number.NaN, Number.NaN]) {
    step(gradient);
    seen.push(await scale());
  }
  // 8, clean, clean: 32; clean, found: 16 with the tracker at 0; clean, clean: 64; 32, 16, 8, 4, and so on
  expect(seen).toEqual([8, 32, 32, 16, 16, 64, 32, 16, 8, 4]);
  for (const _ of [1, 2, 3]) step(Number.NaN);
  expect(await scale()).toBe(2);
  // 5 clean steps; the 5 + 3 with a NaN were skipped
  expect(w[0]).toBe(-5);
  expect(await wrapper.readMetrics()).toEqual({ lossScale: 2, steps: 5, skipped: 8 });
});

test("a gradient that overflows with the scale is skipped although it is finite itself", async () => {
  const { w, step, scale } = model({ initScale: 2 ** 100 });
  step(2 ** 30);
  expect([w[0], await scale()]).toEqual([0, 2 ** 99]);
});

test("growth stops before infinity", async () => {
  const { step, scale } = model({ initScale: 2 ** 127, growthInterval: 1 });
  step(2 ** -100);
  expect(await scale()).toBe(2 ** 127);
});

test("a static scale skips too, and never changes", async () => {
  const { w, step, scale } = model(4);
  for (const gradient of [Number.NaN, 1]) step(gradient);
  expect([w[0], await scale()]).toEqual([-1, 4]);
});

test("one micro-batch that is not finite discards its window and no other", async () => {
  const { w, wrapper, step, scale } = model({ initScale: 8 }, 2);
  for (const gradient of [1, Number.NaN, 2, 4]) step(gradient);
  // (2 + 4) / 2
  expect([w[0], await scale()]).toEqual([-3, 4]);
  expect(wrapper.innerCount).toBe(4);
});

test("a shared scaler is updated by the caller, once an iteration, for all that stepped", async () => {
  const scaler = makeScaler({ initScale: 16, growthInterval: 2 });
  const [a, b] = [model(scaler), model(scaler)];
  expect([a.wrapper.lossScaler, b.wrapper.lossScaler]).toEqual([scaler, scaler]);
  a.step(Number.NaN);
  b.step(1);
  // Nobody has updated it; only the wrapper with the overflow was skipped.
  expect([a.w[0], b.w[0], await scaler.readScale()]).toEqual([0, -1, 16]);
  scaler.update();
  expect(await scaler.readScale()).toBe(8);

  // A clean iteration of both counts once: it takes two to grow.
  for (const expected of [8, 16]) {
    a.step(1);
    b.step(1);
    scaler.update();
    expect(await scaler.readScale()).toBe(expected);
  }
});

test("an update without a step changes nothing", async () => {
  const scaler = makeScaler({ initScale: 16, growthInterval: 1 });
  const { step } = model(scaler, 2);
  scaler.update();
  step(1);
  scaler.update();
  expect(await scaler.readScale()).toBe(16);
  step(1);
  scaler.update();
  expect(await scaler.readScale()).toBe(32);
  scaler.update();
  expect(await scaler.readScale()).toBe(32);
});

test("a wrapper latches the scale at the first backward of its window", async () => {
  const scaler = makeScaler({ initScale: 16 });
  const { w, step } = model(scaler, 2);
  step(2);
  scaler.update(2 ** 20);
  step(4);
  // Both were scaled by 16, and divided by it: (2 + 4) / 2
  expect(w[0]).toBe(-3);
  for (const gradient of [2, 4]) step(gradient);
  expect(w[0]).toBe(-6);
  expect(await scaler.readScale()).toBe(2 ** 20);
});

test("zeroGrad lets go of the latched scale", () => {
  const scaler = makeScaler({ initScale: 2 ** 100 });
  const { w, wrapper, step } = model(scaler);
  wrapper.backward(gradients({ w: [2 ** 30] }));
  wrapper.zeroGrad();
  scaler.update(1);
  step(2 ** 30);
  expect(w[0]).toBe(-(2 ** 30));
});

test("a scaler of its own goes with the wrapper; a shared one is its maker's", () => {
  const scaler = makeScaler(8);
  const disposed: string[] = [];
  scaler.dispose = () => disposed.push("shared");
  model(scaler).wrapper.dispose();
  expect(disposed).toEqual([]);

  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  const create = optimizer.createLossScaler.bind(optimizer);
  optimizer.createLossScaler = (options) =>
    Object.assign(create(options), { dispose: () => disposed.push("own") });
  const wrapper = createOptimWrapper(optimizer, { lossScale: 8 });
  wrapper.dispose();
  wrapper.dispose();
  expect(disposed).toEqual(["own"]);
});
