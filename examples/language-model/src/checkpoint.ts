import { basename, dirname, join } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { isOptimError } from "@mm/optim-core";
import type { FoundRun, RunStore, SavedRun } from "@mm/optim-train";
import { UsageError } from "@mm-examples/gan-digits/errors";
import { isCheckpointFile } from "@mm-examples/gan-digits/options";
import { type Info, infoOf } from "./info.ts";
import { type OptimizerName, optimizers, type Settings } from "./settings.ts";

/** Each optimizer has a folder of its own for its metrics and checkpoints. */
export const folderOf = (out: string, optimizer: OptimizerName): string => join(out, optimizer);

const storeIn = (folder: string): RunStore => checkpointStore<SavedRun>(openCheckpoints(folder));

export const storeOf = (out: string, optimizer: OptimizerName): RunStore => storeIn(folderOf(out, optimizer));

export interface FoundRuns {
  /** Those that all of them were started with. */
  readonly settings: Settings;
  readonly runs: ReadonlyMap<OptimizerName, FoundRun>;
}

/**
 * The run in a file, one of the page perhaps, or the newest good one of every optimizer in a folder.
 *
 * @throws UsageError where there is none, or one of another program
 */
export async function findRuns(place: string): Promise<FoundRuns> {
  if (isCheckpointFile(place)) {
    const found = await findIn(dirname(place), basename(place));
    if (found === undefined) throw new UsageError(`no checkpoint at ${place}`);
    const { optimizer, settings } = requireInfo(found, place);
    return { settings: { ...settings, optimizers: [optimizer] }, runs: new Map([[optimizer, found]]) };
  }
  const runs = new Map<OptimizerName, FoundRun>();
  let settings: Settings | undefined;
  for (const optimizer of optimizers) {
    const found = await findIn(folderOf(place, optimizer));
    if (found === undefined) continue;
    settings ??= requireInfo(found, place).settings;
    runs.set(optimizer, found);
  }
  if (settings === undefined) throw new UsageError(`no checkpoint in ${place}`);
  return { settings, runs };
}

/** @throws UsageError for a file that is none, or damaged */
async function findIn(folder: string, name?: string): Promise<FoundRun | undefined> {
  try {
    return await storeIn(folder).find(name);
  } catch (cause) {
    if (!isOptimError(cause)) throw cause;
    throw new UsageError(cause.message, { cause });
  }
}

function requireInfo(found: FoundRun, place: string): Info {
  const info = infoOf(found);
  if (info === undefined) throw new UsageError(`${found.name} in ${place} is of another program`);
  return info;
}
