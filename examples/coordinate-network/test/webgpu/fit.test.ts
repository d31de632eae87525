import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { countDevice, type CountedDevice } from "../../../../packages/optim-webgpu/test/support/counted.ts";
import { noAdapter, openDevice } from "../../src/device.ts";
import { createFit } from "../../src/fit.ts";
import { paintPicture } from "../../src/picture.ts";
import { completeSettings } from "../../src/settings.ts";
import { createTraining } from "../../src/train.ts";

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
  const { frames, train } = createTraining(fit, wanted, settings);
  await train();
  // 100 (i / 10)² = i²
  expect(frames.all.map(({ step }) => step)).toEqual([0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100]);
  expect(frames.all[0]?.psnr).toBeLessThan(10);
  expect(frames.all.at(-1)?.psnr).toBeGreaterThan(24);
  fit.dispose();
  expect(counted.alive).toEqual(before);
});

it("gives the same numbers for the same seed", async () => {
  const settings = completeSettings({ steps: 5, batch: 64 });
  const run = async (seed: number): Promise<unknown> => {
    const fit = createFit(device, wanted, { ...settings, seed });
    const { frames, train } = createTraining(fit, wanted, settings);
    await train();
    fit.dispose();
    return frames.all.map(({ psnr }) => psnr);
  };
  expect(await run(1)).toEqual(await run(1));
  expect(await run(1)).not.toEqual(await run(2));
});

it("is, a step, the 10 dispatches of the network and 3 of the optimizer, in one submit; nothing is made", () => {
  const fit = createFit(device, wanted, completeSettings({ batch: 64, lossScale: "dynamic" }));
  const train = (step: number): void => {
    fit.optim.paramGroups[0].lr = 1e-2 / (1 + step);
    fit.optim.updateParams(fit.nextBatch());
  };
  for (let step = 0; step < 3; step++) train(step);
  counted.reset();
  for (let step = 0; step < 10; step++) train(step);
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

it("stops after the step in progress, and goes on from its file as if it had not", async () => {
  const settings = completeSettings({ steps: 12, batch: 64, accumulate: 2, lossScale: "dynamic" });
  const place = mkdtempSync(join(tmpdir(), "coordinate-network-"));
  onTestFinished(() => rmSync(place, { recursive: true }));
  const begin = (more: Parameters<typeof createTraining>[3] = {}) => {
    const fit = createFit(device, wanted, settings);
    const store = checkpointStore(openCheckpoints(place));
    return { fit, ...createTraining(fit, wanted, settings, { store, ...more }) };
  };
  const stop = new AbortController();
  const first = begin({
    signal: stop.signal,
    onFrame: ({ step }) => (step === 2 ? stop.abort() : undefined),
  });
  await first.train();
  // 12 (i / 10)², rounded, and where it stopped.
  expect(first.frames.all.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
  expect([first.run.iteration, first.run.stopped]).toEqual([3, "signal"]);

  const second = begin();
  await second.run.resume();
  const whole = begin({ store: undefined });
  for (const { train } of [second, whole]) await train();
  const all = ({ frames }: typeof whole) => frames.all.map(({ seconds: _seconds, ...frame }) => frame);
  expect(all(second)).toEqual(all(whole));
  expect(await second.fit.optim.stateDict()).toEqual(await whole.fit.optim.stateDict());
  for (const { fit } of [first, second, whole]) fit.dispose();
});
