import { join } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import type { FoundRun, RunStore, SavedRun } from "@mm/optim-train";
import { UsageError } from "@mm-examples/gan-digits/errors";
import { type OptimizerName, optimizers, type Settings } from "./settings.ts";

/** Each optimizer has a folder of its own for its metrics and checkpoints. */
export const folderOf = (out: string, optimizer: OptimizerName): string => join(out, optimizer);

export const storeOf = (out: string, optimizer: OptimizerName): RunStore =>
  checkpointStore<SavedRun>(openCheckpoints(folderOf(out, optimizer)));

export interface FoundRuns {
  /** Those that all of them were started with. */
  readonly settings: Settings;
  readonly runs: ReadonlyMap<OptimizerName, FoundRun>;
}

/** The newest good checkpoint of every optimizer. @throws UsageError where there is none, or one of another program */
export async function findRuns(out: string): Promise<FoundRuns> {
  const runs = new Map<OptimizerName, FoundRun>();
  let settings: Settings | undefined;
  for (const optimizer of optimizers) {
    const found = await storeOf(out, optimizer).find();
    if (found === undefined) continue;
    const { program, settings: saved } = Object((found.run as SavedRun | undefined)?.info) as {
      readonly program?: unknown;
      readonly settings: Settings;
    };
    if (program !== "language-model") throw new UsageError(`${found.name} in ${out} is of another program`);
    runs.set(optimizer, found);
    settings ??= saved;
  }
  if (settings === undefined) throw new UsageError(`no checkpoint in ${out}`);
  return { settings, runs };
}
