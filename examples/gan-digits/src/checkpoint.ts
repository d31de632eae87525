import {
  type Checkpoint,
  type DecodedCheckpoint,
  restoreCheckpoint,
  takeCheckpoint,
} from "@mm/optim-checkpoint";
import { openCheckpoints, readCheckpoint } from "@mm/optim-checkpoint/node";
import { isOptimError } from "@mm/optim-core";
import type { SchedulerDictStateDict } from "@mm/optim-schedule";
import { isCheckpointFile } from "./command-line.ts";
import type { Digits } from "./digits.ts";
import { UsageError } from "./errors.ts";
import { type GanRun, startRun } from "./gan.ts";
import type { Metrics } from "./metrics.ts";
import { readWeights, writeWeights } from "./models.ts";
import { restoreRandom } from "./random.ts";
import type { Settings } from "./settings.ts";

/** What a checkpoint holds of a run beside optimizers and tensors. */
export interface SavedRun {
  readonly program: "gan-digits";
  readonly settings: Settings;
  readonly iteration: number;
  readonly seconds: number;
  readonly random: readonly number[];
  readonly schedulers: SchedulerDictStateDict;
  readonly history: readonly Metrics[];
  /** Iterations of the frames. */
  readonly frames: readonly number[];
}

/** Everything that the next iteration depends on, and what the figures show. */
export async function snapshot(run: GanRun): Promise<Checkpoint> {
  const { settings, iteration, seconds, random, average, optim, schedulers, history, frames } = run;
  const extra: SavedRun = {
    program: "gan-digits",
    settings,
    iteration,
    seconds,
    random: random.state(),
    schedulers: schedulers.stateDict(),
    history,
    frames: frames.map((frame) => frame.iteration),
  };
  // The weights of both networks are parameters of an optimizer, and come by themselves.
  const tensors = [
    ...Object.entries(await readWeights(average)).map(([name, data]) => [averageName(name), data] as const),
    ...frames.map((frame) => [frameName(frame.iteration), frame.images] as const),
  ];
  return takeCheckpoint(optim, { tensors: Object.fromEntries(tensors), extra });
}

/** A run that goes on from a checkpoint, and gives the very numbers that it would have given without the pause. */
export async function resumeRun(
  settings: Settings,
  digits: Digits,
  checkpoint: DecodedCheckpoint,
): Promise<GanRun> {
  const { random, iteration, seconds, history, frames, schedulers } = savedRun(checkpoint);
  const data = (name: string) => checkpoint.tensors[name]?.data as Float32Array;
  const run = startRun(settings, digits);
  await restoreCheckpoint(run.optim, checkpoint);
  run.schedulers.loadStateDict(schedulers);
  writeWeights(
    run.average,
    Object.fromEntries(Object.keys(run.average).map((name) => [name, data(averageName(name))])),
  );
  return {
    ...run,
    random: restoreRandom(random),
    iteration,
    seconds,
    history: [...history],
    frames: frames.map((iteration) => ({ iteration, images: data(frameName(iteration)) })),
  };
}

const averageName = (name: string) => `average.${name}`;
const frameName = (iteration: number) => `frame.${iteration}`;

/**
 * The checkpoint in a file, or the newest good one in a folder.
 *
 * @throws UsageError where there is none, or something else
 */
export async function findCheckpoint(place: string): Promise<DecodedCheckpoint> {
  try {
    if (isCheckpointFile(place)) return await readCheckpoint(place);
    const found = await openCheckpoints(place).latest();
    if (found === undefined) throw new UsageError(`no checkpoint in ${place}`);
    for (const { name, error } of found.skipped) console.error(`passed over: ${name}. ${error.message}`);
    return found.checkpoint;
  } catch (cause) {
    if (!isOptimError(cause)) throw cause;
    const what = cause.code === "storage-error" ? "no checkpoint at" : "damaged or no checkpoint:";
    throw new UsageError(`${what} ${place}. ${cause.message}`, { cause });
  }
}

/** @throws UsageError for a checkpoint of another program */
export function savedRun({ extra }: DecodedCheckpoint): SavedRun {
  const saved = Object(extra) as SavedRun;
  if ((saved as Partial<SavedRun>).program !== "gan-digits")
    throw new UsageError("the checkpoint is one of another program");
  return saved;
}
