import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { isOptimError } from "@mm/optim-core";
import type { FoundRun } from "@mm/optim-train";
import { jsonLinesFile, stopSignal } from "@mm/optim-train/node";
import { startBackend } from "./backend.ts";
import { findRun } from "./checkpoint.ts";
import { type CommandLine, resumedSettings } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import { drawLosses } from "./figures/losses.ts";
import { drawSamples } from "./figures/samples.ts";
import { createGan, withAverage } from "./gan.ts";
import { loadDigits } from "./load-digits.ts";
import { createProgress } from "./progress.ts";
import { assess, type Assessment } from "./quality.ts";
import { openRanks, type Ranks } from "./ranks.ts";
import { completeSettings, type Settings } from "./settings.ts";
import { createTraining, train } from "./train.ts";

/** Trains, and writes everything that is written. @returns whether all iterations are done: a person may have stopped it */
export async function run(commandLine: CommandLine): Promise<boolean> {
  const { given, out, resume } = commandLine;
  await makeFolder(out);
  const saved = resume === undefined ? undefined : await findRun(resume);
  const settings = saved ? resumedSettings(saved.settings, given, saved.iteration) : completeSettings(given);
  const ranks = await openRanks();
  if (ranks && settings.tfjsBackend === "webgpu")
    throw new UsageError("--backend webgpu: several ranks sum gradients where nothing waits for a device");
  const stopBackend = await startBackend(settings.tfjsBackend);
  try {
    return await trainAndShow(settings, commandLine, ranks, saved?.found);
  } finally {
    await stopBackend();
  }
}

async function trainAndShow(
  settings: Settings,
  { out, checkpointEvery }: CommandLine,
  ranks: Ranks | undefined,
  found: FoundRun | undefined,
): Promise<boolean> {
  const digits = loadDigits();
  const gan = createGan(settings, digits.training, ranks);
  const checkpoints = openCheckpoints(out);
  const metrics = jsonLinesFile(join(out, "metrics.jsonl"));
  // The first rank logs, saves and shows; the others train.
  const progress = ranks?.rank ? undefined : createProgress(process.stdout, settings.iterations);
  const signal = stopSignal();
  const training = createTraining(gan, {
    signal,
    to: progress ? [metrics, progress.sink] : [],
    store: checkpointStore(checkpoints),
    saveEvery: checkpointEvery,
    onSaveError: tellOfFullDisk,
  });
  if (found) await training.resume({ from: found });
  await train(gan, training).finally(() => progress?.stop());
  signal.dispose();
  if (!progress) return training.done;

  await writeFile(join(out, "samples.png"), await drawSamples(gan.frames.all));
  await writeFile(join(out, "losses.png"), await drawLosses(metrics.read()));
  const folder = nearest(out);
  const [newest] = await checkpoints.list();
  console.log(
    `${training.done ? "done" : "stopped"} after ${training.iteration} iterations, ${training.seconds.toFixed(1)} s of training`,
  );
  if (!training.done) {
    if (newest !== undefined) console.log(`go on with: --resume ${join(folder, newest)}`);
    return false;
  }

  const quality = await withAverage(gan, () => assess(gan.generator, digits, settings.seed));
  await writeFile(join(out, "quality.json"), `${JSON.stringify(quality, undefined, 2)}\n`);
  console.log(describe("samples", "the asked class", quality.samples));
  console.log(describe("real digits, held out", "the true class", quality.heldOut));
  const files = ["samples.png", "losses.png", "metrics.jsonl", "quality.json", ...(newest ? [newest] : [])];
  console.log(`written to ${folder}: ${files.join(", ")}`);
  return true;
}

/** A disk that is full ends no training. */
function tellOfFullDisk(error: unknown): void {
  if (!isOptimError(error) || error.code !== "storage-error") throw error;
  console.error(`not saved: ${error.message}`);
}

/** The path as a person here would write it. */
function nearest(path: string): string {
  const fromHere = relative(process.cwd(), path) || ".";
  return fromHere.startsWith("..") ? path : fromHere;
}

async function makeFolder(out: string): Promise<void> {
  try {
    await mkdir(out, { recursive: true });
  } catch (error) {
    throw new UsageError(`--out ${out}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function describe(what: string, label: string, { count, agreement, nearest, spread }: Assessment): string {
  return (
    `${count} ${what}: classified as ${label} ${(100 * agreement).toFixed(1)} %, ` +
    `nearest training digit at ${nearest.median.toFixed(2)} (median; least ${nearest.least.toFixed(2)}), ` +
    `spread within a class ${spread.toFixed(2)}`
  );
}
