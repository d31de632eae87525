// node fill.mjs FOLDER: saves and keeps every checkpoint until a save is refused, trains on, makes room where it can, and saves again. The
// outcome goes to stdout as JSON.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { takeCheckpoint } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { isOptimError } from "@mm/optim-core";
import { createRun } from "./run.ts";

const [folder = "", most = "100"] = process.argv.slice(2);
const { optim, train } = createRun();
const checkpoints = openCheckpoints(folder, { keep: Number.POSITIVE_INFINITY });
let n = 0;
const save = async (): Promise<string> => {
  try {
    return await checkpoints.save(await takeCheckpoint(optim, { extra: { n } }));
  } catch (error) {
    if (!isOptimError(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
};
let last = "";
while (n < Number(most)) {
  train(n);
  n += 1;
  last = await save();
  if (!last.startsWith("checkpoint-")) break;
}
const refusedAt = n;
for (const _ of [1, 2]) {
  train(n);
  n += 1;
}
const newest = await checkpoints.latest();
const [oldest] = [...(await checkpoints.list())].reverse();
if (oldest !== undefined) await rm(join(folder, oldest)).catch(() => undefined);
const report = {
  last,
  refusedAt,
  newest: newest?.checkpoint.extra,
  skipped: newest?.skipped.length,
  again: await save(),
};
process.stdout.write(JSON.stringify(report));
