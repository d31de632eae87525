// mpirun -n 2 node train.mjs [FOLDER] [ITERATIONS]: fits a line, and the spread of the noise around it, each by an optimizer of its own.
import { restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createOptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { broadcastState, checkReplicas, distributed, shardOf } from "@mm/optim-distributed";
import { openMpi } from "@mm/optim-distributed/mpi";
import { adamw, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";

const [folder = "runs/line", iterations = "1000"] = process.argv.slice(2);
const communicator = openMpi();

const line = createArena({ slope: 1, offset: 1 });
const noise = createArena({ logSpread: 1 });
const optim = new OptimWrapperDict({
  line: createOptimWrapper(distributed(wasmOptimizer(sgd({ lr: 0.05, momentum: 0.9 }), line), communicator), {
    clipGrad: { maxNorm: 1 },
  }),
  noise: createOptimWrapper(distributed(wasmOptimizer(adamw({ lr: 0.01 }), noise), communicator)),
});

// The first rank looks for a checkpoint, and all begin with what it has.
const checkpoints = openCheckpoints(folder, { keep: 2 });
const found = communicator.rank === 0 ? await checkpoints.latest() : undefined;
if (found) await restoreCheckpoint(optim, found.checkpoint);
await broadcastState(optim, communicator);

const at = (tensor: Float32Array): number => tensor[0] ?? 0;
const random = (seed: number): number => ((Math.sin(seed) * 43758.5453) % 1) / 2 + 0.5;

for (let count = optim.get("line").innerCount; count < Number(iterations); count += 1) {
  // y = 3x − 1, with noise of standard deviation 0.5: the batch is the same on every rank, and each takes its own rows of it.
  const batch = Array.from({ length: 33 }, (_, row) => {
    const [a, b, c] = [1, 2, 3].map((part) => random(100 * count + row + part / 4)) as [
      number,
      number,
      number,
    ];
    return { x: 2 * a - 1, noise: 0.5 * Math.sqrt(-2 * Math.log(1 - b)) * Math.cos(2 * Math.PI * c) };
  });
  const { from, to } = shardOf(batch.length, communicator);
  const mine = batch.slice(from, to).map((row) => ({ x: row.x, y: 3 * row.x - 1 + row.noise }));
  const error = ({ x, y }: { x: number; y: number }): number => at(line.slope) * x + at(line.offset) - y;
  const mean = (terms: readonly number[]): number =>
    terms.reduce((sum, term) => sum + term, 0) / terms.length;

  optim.get("line").updateParams(
    ({ grad, scale }) => {
      grad("slope")[0] = scale * mean(mine.map((row) => error(row) * row.x));
      grad("offset")[0] = scale * mean(mine.map(error));
      return mean(mine.map((row) => error(row) ** 2 / 2));
    },
    { weight: mine.length },
  );
  optim.get("noise").updateParams(
    ({ grad, scale }) => {
      const surprise = mean(mine.map((row) => (error(row) / Math.exp(at(noise.logSpread))) ** 2));
      grad("logSpread")[0] = scale * (1 - surprise);
      return at(noise.logSpread) + surprise / 2;
    },
    { weight: mine.length },
  );
  if ((count + 1) % 200 === 0) {
    await checkReplicas(optim, communicator);
    if (communicator.rank === 0) await checkpoints.save(await takeCheckpoint(optim));
  }
}
if (communicator.rank === 0) {
  const [slope, offset, spread] = [at(line.slope), at(line.offset), Math.exp(at(noise.logSpread))];
  process.stdout.write(`${JSON.stringify({ slope, offset, spread })}\n`);
}
