// `dataParallel` on the CPU backends of TensorFlow.js.
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-layers";
import { adamw, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import type { Variables } from "./tfjs-network.ts";
import { twoRanks } from "./tfjs-ranks.ts";

describe.each(["cpu", "wasm"])("two ranks on tfjs-%s", (backend) => {
  const cases = {
    AdamW: {
      make: (variables: Variables) => tfjsOptimizer(adamw({ lr: 0.01 }), variables),
      options: {},
    },
    "momentum, windows of 3, clipped": {
      make: (variables: Variables) => tfjsOptimizer(sgd({ lr: 0.05, momentum: 0.9 }), variables),
      options: { accumulativeCounts: 3, clipGrad: { maxNorm: 0.05 } },
    },
  };
  test.each(Object.entries(cases))(
    "%s: as one process on the whole batch, and no tensor is left",
    async (_, { make, options }) => {
      tf.enableProdMode(); // without the advertisement of the cpu backend
      await tf.setBackend(backend);
      const { difference, largest, leaked } = await twoRanks(make, options, 30);
      // Sums in another order: some units in the last place of numbers below 1.
      expect(difference).toBeLessThanOrEqual(1e-6);
      expect(largest).toBeGreaterThan(0.5);
      expect(leaked).toBe(0);
    },
  );
});
