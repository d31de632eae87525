// Two ranks on variables of TensorFlow.js, whatever the backend, against one process on the whole batch.
import { createOptimWrapper, type Optimizer, type OptimWrapperOptions } from "@mm/optim-core";
import { checkReplicas, dataParallel, shardOf } from "@mm/optim-distributed";
import { localCommunicators } from "@mm/optim-distributed/testing";
import * as tf from "@tensorflow/tfjs-core";
import { allocate, batchOf, fill } from "./cases/network.ts";
import { lossOf, read, type Variables, variablesOf } from "./tfjs-network.ts";

type MakeOptimizer = (variables: Variables) => Optimizer<() => tf.Scalar, tf.Scalar>;

/** @returns the largest difference of a parameter, and tensors that were left behind */
export async function twoRanks(
  make: MakeOptimizer,
  options: OptimWrapperOptions,
  iterations: number,
): Promise<{ readonly difference: number; readonly largest: number; readonly leaked: number }> {
  const before = tf.memory().numTensors;
  const initial = allocate();
  fill(initial);
  const whole = variablesOf(initial);
  const alone = createOptimWrapper(make(whole), options);
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const rows = batchOf(iteration);
    alone.updateParams(lossOf(whole, rows), { weight: rows.length });
  }
  const expected = await read(whole);
  const ends = await Promise.all(
    localCommunicators(2).map(async (communicator) => {
      const mine = variablesOf(initial);
      const wrapper = createOptimWrapper(make(mine), options);
      const parallel = dataParallel(wrapper, communicator);
      for (let iteration = 0; iteration < iterations; iteration += 1) {
        const rows = batchOf(iteration);
        const { from, to } = shardOf(rows.length, communicator);
        if (from === to) await parallel.skip();
        else await parallel.updateParams(lossOf(mine, rows.slice(from, to)), { weight: to - from });
      }
      await checkReplicas(wrapper, communicator);
      const values = await read(mine);
      wrapper.dispose();
      tf.dispose(Object.values(mine));
      return values;
    }),
  );
  alone.dispose();
  tf.dispose(Object.values(whole));
  return {
    difference: Math.max(
      ...ends.flatMap((values) => values.map((value, at) => Math.abs(value - (expected[at] ?? NaN)))),
    ),
    largest: Math.max(...expected.map(Math.abs)),
    leaked: tf.memory().numTensors - before,
  };
}
