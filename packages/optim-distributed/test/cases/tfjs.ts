// `distributed` on variables of TensorFlow.js, against one process on the whole batch.
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-layers";
import { createOptimWrapper } from "@mm/optim-core";
import { checkReplicas, type Communicator, distributed, shardOf } from "@mm/optim-distributed";
import { adamw } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { lossOf, read, variablesOf } from "../tfjs-network.ts";
import { allocate, batchOf, fill } from "./network.ts";

const iterations = 100;

export async function compareOnTfjs(
  backend: string,
  communicator: Communicator,
): Promise<{ readonly difference: number; readonly largest: number; readonly leaked: number }> {
  tf.enableProdMode();
  await tf.setBackend(backend);
  const before = tf.memory().numTensors;
  const initial = allocate();
  fill(initial);
  const [mine, whole] = [variablesOf(initial), variablesOf(initial)];
  const options = {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 0.05 },
    lossScale: { initScale: 256, growthInterval: 9 },
  };
  const rule = adamw({ lr: 0.01 });
  const ours = createOptimWrapper(distributed(tfjsOptimizer(rule, mine), communicator), options);
  const alone = createOptimWrapper(tfjsOptimizer(rule, whole), options);
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const rows = batchOf(iteration);
    alone.updateParams(lossOf(whole, rows), { weight: rows.length });
    const { from, to } = shardOf(rows.length, communicator);
    if (from === to) ours.skip();
    else ours.updateParams(lossOf(mine, rows.slice(from, to)), { weight: to - from });
  }
  await checkReplicas(ours, communicator);
  const [a, b] = await Promise.all([read(mine), read(whole)]);
  ours.dispose();
  alone.dispose();
  tf.dispose([...Object.values(mine), ...Object.values(whole)]);
  return {
    difference: Math.max(...a.map((value, at) => Math.abs(value - (b[at] ?? NaN)))),
    largest: Math.max(...b.map(Math.abs)),
    leaked: tf.memory().numTensors - before,
  };
}
