// mpirun -n 2 node run.mjs FOLDER UNTIL: the mean of 50 numbers, by gradients in windows of 2. Every rank notes how it ended in FOLDER.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createOptimWrapper } from "@mm/optim-core";
import { distributed } from "@mm/optim-distributed";
import { openMpi } from "@mm/optim-distributed/mpi";
import { adam } from "@mm/optim-rules";
import { createBatches, createRun } from "@mm/optim-train";
import { stopSignal } from "@mm/optim-train/node";
import { wasmOptimizer } from "@mm/optim-wasm";

const [folder = "runs/mean", until = "20"] = process.argv.slice(2);
const communicator = openMpi();
const { rank } = communicator;
const signal = stopSignal();
const samples = Float32Array.from({ length: 50 }, (_, index) => Math.sin(index));

const mean = new Float32Array(1);
const optim = createOptimWrapper(distributed(wasmOptimizer(adam({ lr: 0.1 }), { mean }), communicator), {
  accumulativeCounts: 2,
});
// Eight samples over all ranks; the last batch of an epoch has two, of which the third rank has none.
const batches = createBatches({ count: samples.length, size: 8, seed: 1, ranks: communicator });
let lines = 0;
const run = createRun({
  optim,
  until: until === "forever" ? Infinity : Number(until),
  ranks: communicator,
  signal,
  state: { batches },
  store: checkpointStore(openCheckpoints(folder)),
  saveEvery: 7,
  log: { every: 5, to: () => void (lines += 1) },
});
await run.resume();
for await (const iteration of run) {
  const { indices } = batches.next();
  const errors = Array.from(indices, (index) => (mean[0] ?? 0) - (samples[index] ?? 0));
  const averaged = (of: (error: number) => number): number =>
    errors.reduce((sum, error) => sum + of(error), 0) / errors.length;
  if (errors.length === 0) run.skip();
  else {
    run.update(
      ({ grad, scale }) => {
        const gradient = grad("mean");
        gradient[0] = (gradient[0] ?? 0) + scale * averaged((error) => 2 * error);
        return averaged((error) => error ** 2);
      },
      { weight: indices.length },
    );
  }
  if (iteration === 1) writeFileSync(join(folder, `ready-${rank}`), "");
}
const { iteration, stopped = "", began } = run;
writeFileSync(
  join(folder, `end-${rank}.json`),
  JSON.stringify({
    began,
    iteration,
    stopped,
    lines,
    mean: mean[0],
    steps: (await optim.readMetrics()).steps,
  }),
);
signal.dispose();
