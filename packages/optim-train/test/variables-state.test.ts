import "@tensorflow/tfjs-backend-cpu";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer, variablesState } from "@mm/optim-tfjs";
import { createRun } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "./loop.ts";

beforeAll(async () => {
  tf.enableProdMode();
  await tf.setBackend("cpu");
});

/** y = x₀, from normalized inputs. The names of its weights are its own, so that a file fits the model of another process. */
function createLoop(folder: string) {
  const layers = [
    tfl.layers.batchNormalization({ inputShape: [2], name: "normalization" }),
    tfl.layers.dense({ units: 1, kernelInitializer: "ones", name: "dense" }),
  ];
  const model = tfl.sequential({ layers });
  const named = (weights: readonly tfl.LayerVariable[]) =>
    Object.fromEntries(weights.map((weight) => [weight.originalName, weight]));
  const optim = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), named(model.trainableWeights)));
  const run = createRun({
    optim,
    until: 8,
    state: { statistics: variablesState(model.nonTrainableWeights) },
    store: checkpointStore(openCheckpoints(folder)),
  });
  const train = async (stopAfter = 8): Promise<void> => {
    for await (const iteration of run) {
      run.update(() => {
        const x = tf.tensor2d(
          Float32Array.from({ length: 8 }, (_, index) => Math.sin(iteration + index)),
          [4, 2],
        );
        const error = tf.sub(model.apply(x, { training: true }) as tf.Tensor, tf.slice(x, [0, 0], [4, 1]));
        return tf.mean(tf.square(error));
      });
      if (iteration === stopAfter) run.stop();
    }
  };
  const predict = (): readonly number[] =>
    tf.tidy(() => Array.from((model.predict(tf.ones([1, 2])) as tf.Tensor).dataSync()));
  onTestFinished(() => {
    optim.dispose();
    model.dispose();
  });
  return { run, train, predict };
}

test("a run with batch normalization predicts, resumed from its file, what it would have predicted without a stop", async () => {
  const whole = createLoop(temporaryFolder());
  await whole.train();
  const folder = temporaryFolder();
  await createLoop(folder).train(3);
  const second = createLoop(folder);
  await second.run.resume();
  expect(second.run.iteration).toBe(3);
  await second.train();
  expect(second.predict()).toEqual(whole.predict());
});
