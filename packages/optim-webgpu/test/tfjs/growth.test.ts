import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { countDevice } from "../support/counted.ts";
import { liveObjects } from "../../../../test-support/live-objects.ts";
import { useTfjs } from "../support/tfjs.ts";

test("10,000 updates: no growth in tensors, GPU bytes and objects", { timeout: 300_000 }, async () => {
  const counted = countDevice(await useTfjs());
  const w = tf.tidy(() => tf.variable(tf.ones([33])));
  const optim = createOptimWrapper(tfjsOptimizer(adam(), { w }), {
    lossScale: "dynamic",
    clipGrad: { maxNorm: 1 },
  });
  const after = async (updates: number): Promise<{ readonly held: unknown; readonly objects: number }> => {
    for (let i = 0; i < updates; i += 1) {
      optim.updateParams(() => tf.sum(w));
      if (i % 250 === 0) await optim.stateDict();
    }
    await optim.readMetrics();
    return { held: [tf.memory().numTensors, counted.alive], objects: await liveObjects() };
  };
  await after(2000);
  const early = await after(1000);
  const late = await after(7000);
  expect(late.held).toEqual(early.held);
  // One object that each of 7,000 updates kept, or each of 28 states and its read, would be that many more.
  expect(late.objects - early.objects).toBeLessThan(28);
  expect((await optim.readMetrics()).steps).toBe(10_000);
  optim.dispose();
  w.dispose();
});
