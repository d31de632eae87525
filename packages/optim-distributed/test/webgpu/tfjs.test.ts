// `dataParallel` on variables of tfjs-backend-webgpu: the device decides, and is waited for.
import { adamw } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import { expect, test } from "vitest";
import { useTfjs } from "../../../optim-webgpu/test/support/tfjs.ts";
import { twoRanks } from "../tfjs-ranks.ts";

await useTfjs();

test("two ranks on tfjs-webgpu, clipped, with a dynamic scale: as one process on the whole batch", async () => {
  const { difference, largest } = await twoRanks(
    (variables) => tfjsOptimizer(adamw({ lr: 0.01 }), variables),
    { accumulativeCounts: 2, clipGrad: { maxNorm: 0.05 }, lossScale: { initScale: 256, growthInterval: 3 } },
    20, // 10 steps
  );
  // Kernels of a device sum in an order of their own.
  expect(difference).toBeLessThanOrEqual(1e-5);
  expect(largest).toBeGreaterThan(0.5);
});
