import { expect, test } from "vitest";
import { openDevice } from "../support/browser.ts";
import { countDevice } from "../support/counted.ts";
import { readFloats, storageBuffer } from "../support/read.ts";

test("Chromium gives a device with the default limits, and what it is asked to do is counted", async () => {
  const device = await openDevice();
  expect(device.limits.maxStorageBuffersPerShaderStage).toBe(8);
  const counted = countDevice(device);
  const buffer = storageBuffer(device, Float32Array.of(1, 2, 3));
  expect([...(await readFloats(device, { buffer }))]).toEqual([1, 2, 3]);
  expect(counted.counts).toMatchObject({ copies: 1, submits: 1, mapAsync: 1, createBuffer: 2 });
  expect(counted.alive).toEqual({ buffers: 1, bytes: 12 });
});
