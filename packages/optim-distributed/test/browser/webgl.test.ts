// `dataParallel` on variables of tfjs-backend-webgl.
import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-layers";
import { adamw } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { twoRanks } from "../tfjs-ranks.ts";

test("two ranks on tfjs-webgl: as one process on the whole batch", async () => {
  await tf.setBackend("webgl");
  const { difference, largest } = await twoRanks(
    (variables) => tfjsOptimizer(adamw({ lr: 0.01 }), variables),
    { accumulativeCounts: 2, clipGrad: { maxNorm: 0.05 }, lossScale: { initScale: 256, growthInterval: 3 } },
    20, // 10 steps
  );
  // Shaders of a device sum in an order of their own.
  expect(difference).toBeLessThanOrEqual(1e-5);
  expect(largest).toBeGreaterThan(0.5);
});
