// `dataParallel` on variables of jax-js: two ranks in one process, beside one that has the whole batch.
import { numpy as np } from "@jax-js/jax";
import { createOptimWrapper } from "@mm/optim-core";
import { checkReplicas, dataParallel } from "@mm/optim-distributed";
import { localCommunicators } from "@mm/optim-distributed/testing";
import { type JaxLoss, jaxOptimizer, jitLoss, Variable } from "@mm/optim-jax";
import { adamw } from "@mm/optim-rules";
import { arrayOf, valuesOf } from "./factory.ts";

const [inputs, outputs, rows] = [6, 3, 8];
/** Numbers that look random and are the same every time. */
const numbers = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(12.9898 * (i + 1) + seed));

/** @returns the largest difference of a parameter after 10 steps, and the largest parameter */
export async function twoRanks(
  device: Variable["device"],
): Promise<{ readonly difference: number; readonly largest: number }> {
  const iterations = 20;
  // The mean over the rows: weights make it the mean over all ranks' rows.
  const loss = jitLoss((w: np.Array, x: np.Array, y: np.Array) =>
    np.mean(np.square(np.tanh(np.matmul(x, w)).sub(y))),
  );
  const create = () => {
    const w = new Variable(arrayOf(numbers(inputs * outputs, 0), [inputs, outputs], device));
    const wrapper = createOptimWrapper(jaxOptimizer(adamw({ lr: 0.05 }), { w }), {
      accumulativeCounts: 2,
      clipGrad: { maxNorm: 0.1 },
      lossScale: { initScale: 256, growthInterval: 3 },
    });
    const lossOf = (iteration: number, from: number, to: number): JaxLoss => {
      const x = numbers(rows * inputs, 3 * iteration).subarray(from * inputs, to * inputs);
      const y = numbers(rows * outputs, 7 * iteration).subarray(from * outputs, to * outputs);
      return loss(w, arrayOf(x, [to - from, inputs], device), arrayOf(y, [to - from, outputs], device));
    };
    return { w, wrapper, lossOf };
  };
  const alone = create();
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    alone.wrapper.updateParams(alone.lossOf(iteration, 0, rows), { weight: rows });
  }
  const expected = await valuesOf(alone.w);
  const ends = await Promise.all(
    localCommunicators(2).map(async (communicator) => {
      const { w, wrapper, lossOf } = create();
      const parallel = dataParallel(wrapper, communicator);
      for (let iteration = 0; iteration < iterations; iteration += 1) {
        // Shards of uneven size: 5 rows and 3.
        const { from, to } = communicator.rank === 0 ? { from: 0, to: 5 } : { from: 5, to: rows };
        await parallel.updateParams(lossOf(iteration, from, to), { weight: to - from });
      }
      await checkReplicas(wrapper, communicator);
      return valuesOf(w);
    }),
  );
  return {
    difference: Math.max(
      ...ends.flatMap((end) => end.map((value, i) => Math.abs(value - (expected[i] as number)))),
    ),
    largest: Math.max(...expected.map(Math.abs)),
  };
}
