import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-backend-webgpu";
import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { registerTfOptimizer, tfjsOptimizer, toTfOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { expect, test } from "vitest";
import { use } from "../backends.ts";
import { classifier, irises } from "../iris.ts";

const fit = { batchSize: 50, shuffle: false, verbose: 0 } as const;

const create = (variables: readonly tf.Variable[]) =>
  createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.02 }), variables), {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 0.5 },
    lossScale: "dynamic",
  });

/** A new model, which is compiled. */
function compiled(): tfl.LayersModel {
  const model = classifier();
  model.compile({ optimizer: toTfOptimizer(create), loss: "categoricalCrossentropy" });
  return model;
}

async function values(model: tfl.LayersModel): Promise<unknown> {
  return Promise.all(model.getWeights().map((weight) => weight.data()));
}

// Steps are decided on the device, and states are read from it.
test.each(["webgl", "webgpu"])(
  "tfjs-%s: a fit, saved in mid-window and loaded, goes on to the bit",
  async (backend) => {
    await use({ backend });
    registerTfOptimizer(create);
    const { x, y } = irises();
    const [whole, first] = [compiled(), compiled()];
    // 6 batches each, and no window open.
    await whole.fit(x, y, { ...fit, epochs: 2 });
    const after = tf.memory().numTensors;
    for (let round = 0; round < 2; round += 1) await whole.fit(x, y, { ...fit, epochs: 2 });
    expect(tf.memory().numTensors).toBe(after);

    // 3 batches: the second window is open.
    await first.fit(x, y, { ...fit, epochs: 1 });
    const url = `indexeddb://fit-${backend}`;
    await first.save(url, { includeOptimizer: true });
    const second = await tfl.loadLayersModel(url);
    await second.fit(x, y, { ...fit, epochs: 5 });
    expect(second.optimizer.iterations).toBe(18);
    expect(await values(second)).toEqual(await values(whole));
    for (const model of [whole, first, second]) {
      model.optimizer.dispose();
      model.dispose();
    }
    tf.dispose([x, y]);
  },
);
