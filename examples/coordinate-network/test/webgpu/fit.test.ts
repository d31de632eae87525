import { beforeAll, expect, it } from "vitest";
import { countDevice, type CountedDevice } from "../../../../packages/optim-webgpu/test/support/counted.ts";
import { noAdapter, openDevice } from "../../src/device.ts";
import { createFit } from "../../src/fit.ts";
import { paintPicture } from "../../src/picture.ts";
import { completeSettings } from "../../src/settings.ts";
import { train } from "../../src/train.ts";

const wanted = paintPicture(32, 32);
let device: GPUDevice;
let counted: CountedDevice;
beforeAll(async () => {
  const opened = await openDevice();
  if (opened === undefined) throw new Error(noAdapter);
  device = opened.device;
  counted = countDevice(device);
  return () => opened.close();
});

it.each([
  ["plain", {}],
  ["with a window and a dynamic loss scale", { accumulate: 2, lossScale: "dynamic" }],
] as const)("learns a small picture, and frees what it took: %s", async (_, options) => {
  const before = counted.alive;
  const settings = completeSettings({ steps: 100, batch: 128, ...options });
  const fit = createFit(device, wanted, settings);
  const frames = await train(fit, wanted, settings);
  // 100 (i / 10)² = i²
  expect(frames.map(({ step }) => step)).toEqual([0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100]);
  expect(frames[0]?.psnr).toBeLessThan(10);
  expect(frames.at(-1)?.psnr).toBeGreaterThan(24);
  fit.dispose();
  expect(counted.alive).toEqual(before);
});

it("gives the same numbers for the same seed", async () => {
  const settings = completeSettings({ steps: 5, batch: 64 });
  const run = async (seed: number): Promise<unknown> => {
    const fit = createFit(device, wanted, { ...settings, seed });
    const frames = await train(fit, wanted, settings);
    fit.dispose();
    return frames.map(({ psnr }) => psnr);
  };
  expect(await run(1)).toEqual(await run(1));
  expect(await run(1)).not.toEqual(await run(2));
});

it("is, a step, the 10 dispatches of the network and 3 of the optimizer, in one submit; nothing is made", () => {
  const fit = createFit(device, wanted, completeSettings({ batch: 64, lossScale: "dynamic" }));
  for (let step = 0; step < 3; step++) fit.train(1e-2);
  counted.reset();
  for (let step = 0; step < 10; step++) fit.train(1e-2 / (1 + step));
  expect(counted.counts).toMatchObject({
    dispatches: 130,
    submits: 10,
    createBuffer: 0,
    createBindGroup: 0,
    createComputePipeline: 0,
    mapAsync: 0,
  });
  // Points, their colours, and what the optimizer's host decides: the learning rate.
  expect(counted.counts.writeBuffer).toBe(30);
  fit.dispose();
});

it("stops after the step in progress when told to, and shows how far it came", async () => {
  const settings = completeSettings({ steps: 50, batch: 64 });
  const fit = createFit(device, wanted, settings);
  const stop = new AbortController();
  const frames = await train(fit, wanted, settings, {
    signal: stop.signal,
    onFrame: ({ step }) => (step >= 2 ? stop.abort() : undefined),
  });
  expect(frames.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
  fit.dispose();
});
