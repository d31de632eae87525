import { setTimeout } from "node:timers/promises";
import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { countDevice } from "../support/counted.ts";
import { collectGarbage } from "../../../../test-support/garbage.ts";
import { useTfjs } from "../support/tfjs.ts";

/** Bytes that are in use once all garbage is gone: what the device's objects hold goes some turns after them. */
async function heapInUse(): Promise<number> {
  const sizes: number[] = [];
  for (let turn = 0; turn < 10; turn += 1) {
    collectGarbage();
    await setTimeout(20);
    sizes.push(process.memoryUsage().heapUsed);
  }
  return Math.min(...sizes);
}

test("10,000 updates: no growth in tensors, GPU bytes and heap", { timeout: 300_000 }, async () => {
  const counted = countDevice(await useTfjs());
  const w = tf.tidy(() => tf.variable(tf.ones([33])));
  const optim = createOptimWrapper(tfjsOptimizer(adam(), { w }), {
    lossScale: "dynamic",
    clipGrad: { maxNorm: 1 },
  });
  const after = async (updates: number): Promise<{ readonly held: unknown; readonly heap: number }> => {
    for (let i = 0; i < updates; i += 1) {
      optim.updateParams(() => tf.sum(w));
      if (i % 250 === 0) await optim.stateDict();
    }
    await optim.readMetrics();
    return { held: [tf.memory().numTensors, counted.alive], heap: await heapInUse() };
  };
  await after(2000);
  const early = await after(1000);
  const late = await after(7000);
  expect(late.held).toEqual(early.held);
  // 7,000 objects that were kept would need 392 kB at least.
  expect(late.heap - early.heap).toBeLessThan(390_000);
  expect((await optim.readMetrics()).steps).toBe(10_000);
  optim.dispose();
  w.dispose();
});
