// node train.mjs FOLDER ITERATIONS: goes on from the newest checkpoint of the folder, and saves after every iteration.
import { restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createRun } from "./run.ts";

const [folder = "", iterations = ""] = process.argv.slice(2);
const { optim, train } = createRun();
const checkpoints = openCheckpoints(folder, { keep: 2 });
const found = await checkpoints.latest();
let n = 0;
if (found !== undefined) {
  await restoreCheckpoint(optim, found.checkpoint);
  ({ n } = found.checkpoint.extra as { n: number });
}
process.stdout.write("began\n");
while (n < Number(iterations)) {
  train(n);
  n += 1;
  await checkpoints.save(await takeCheckpoint(optim, { extra: { n } }));
  process.stdout.write(`saved ${n}\n`);
}
