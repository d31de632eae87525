import { createOptimWrapper, type OptimWrapper, type OptimWrapperStateDict } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { webgpuOptimizer, type WebgpuLoss } from "@mm/optim-webgpu";
import { expect, test } from "vitest";
import { openDevice } from "./support/node.ts";
import { storageBuffer } from "./support/read.ts";

// A read reports the errors of the calls before it, each of them once, whatever is called while it waits.

const device = await openDevice();

/** A gradient of this value. */
const constant =
  (value: number): WebgpuLoss<"w"> =>
  ({ encoder, grad }) => {
    const { buffer, offset } = grad("w");
    encoder.copyBufferToBuffer(storageBuffer(device, Float32Array.of(value)), 0, buffer, offset, 4);
  };

/** A command that the device refuses: more than the buffer has. */
const refused: WebgpuLoss<"w"> = ({ encoder, grad }) => {
  encoder.clearBuffer(grad("w").buffer, 0, 1 << 20);
};

async function start(): Promise<{
  optim: OptimWrapper<WebgpuLoss<"w">, undefined>;
  saved: OptimWrapperStateDict;
}> {
  const w = storageBuffer(device, Float32Array.of(0));
  const optim = createOptimWrapper(webgpuOptimizer(sgd({ lr: 1 }), { w }, { device }), {
    onNonFinite: "throw",
  });
  optim.updateParams(constant(1));
  return { optim, saved: await optim.stateDict() };
}

const nonFinite = { code: "non-finite-gradient" };

test("a read that a load overtakes does not report again what was reported", async () => {
  const { optim, saved } = await start();
  optim.updateParams(constant(NaN));
  await expect(optim.readMetrics()).rejects.toMatchObject(nonFinite);
  const load = optim.prepareLoad(saved);
  const reading = optim.readMetrics();
  load.commit();
  expect(await reading).toMatchObject({ steps: 1, skipped: 1 });
});

test("and what comes after the load is reported", async () => {
  const { optim, saved } = await start();
  for (const value of [NaN, NaN, NaN]) optim.updateParams(constant(value));
  const load = optim.prepareLoad(saved);
  const reading = optim.readMetrics();
  load.commit();
  // Three failed steps before the load, and one after it.
  await expect(reading).rejects.toMatchObject(nonFinite);
  optim.updateParams(constant(NaN));
  await expect(optim.readMetrics()).rejects.toMatchObject(nonFinite);
  expect(await optim.readMetrics()).toMatchObject({ steps: 1, skipped: 1 });
});

test("a failed step is reported to the first read after it, and to no read before it", async () => {
  const { optim } = await start();
  const before = optim.readMetrics();
  optim.updateParams(constant(NaN));
  const [first, second] = [optim.readMetrics(), optim.stateDict()];
  expect(await before).toMatchObject({ steps: 1, skipped: 0 });
  await expect(first).rejects.toMatchObject(nonFinite);
  await second;
});

test("a command that the device refuses is reported to the first read after it, and to no read before it", async () => {
  const { optim } = await start();
  const before = optim.readMetrics();
  optim.backward(refused);
  optim.zeroGrad();
  const [first, second] = [optim.readMetrics(), optim.readMetrics()];
  expect(await before).toMatchObject({ steps: 1 });
  await expect(first).rejects.toMatchObject({ code: "device-error" });
  expect(await second).toMatchObject({ steps: 1 });
});
