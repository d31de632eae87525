import { basename, dirname } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { isOptimError } from "@mm/optim-core";
import type { FoundRun, SavedRun } from "@mm/optim-train";
import { UsageError } from "./errors.ts";
import { isCheckpointFile } from "./options.ts";
import type { Settings } from "./settings.ts";

/** A run to go on from, and the settings that it was started with. */
export interface FoundGan {
  readonly found: FoundRun;
  readonly settings: Settings;
  readonly iteration: number;
}

/**
 * The run in a file, or the newest good one in a folder.
 *
 * @throws UsageError where there is none, or something else
 */
export async function findRun(place: string): Promise<FoundGan> {
  try {
    const [folder, name] = isCheckpointFile(place) ? [dirname(place), basename(place)] : [place];
    const found = await checkpointStore<SavedRun>(openCheckpoints(folder)).find(name);
    if (found === undefined) throw new UsageError(`no checkpoint in ${place}`);
    for (const { name, error } of found.skipped) console.error(`passed over: ${name}. ${error.message}`);
    const { info, iteration } = Object(found.run) as SavedRun;
    const { program, settings } = Object(info) as { program?: unknown; settings: Settings };
    if (program !== "gan-digits") throw new UsageError("the checkpoint is one of another program");
    return { found, settings, iteration };
  } catch (cause) {
    if (!isOptimError(cause)) throw cause;
    const what = cause.code === "storage-error" ? "no checkpoint at" : "damaged or no checkpoint:";
    throw new UsageError(`${what} ${place}. ${cause.message}`, { cause });
  }
}
