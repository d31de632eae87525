import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { isOptimError } from "@mm/optim-core";
import { startBackend } from "./backend.ts";
import { findCheckpoint, resumeRun, savedRun, snapshot } from "./checkpoint.ts";
import { type CommandLine, resumedSettings } from "./command-line.ts";
import type { Digits } from "./digits.ts";
import { loadDigits } from "./load-digits.ts";
import { UsageError } from "./errors.ts";
import { drawLosses } from "./figures/losses.ts";
import { drawSamples } from "./figures/samples.ts";
import { type GanRun, startRun } from "./gan.ts";
import { openMetricsFile } from "./metrics.ts";
import { createProgress } from "./progress.ts";
import { assess, type Assessment } from "./quality.ts";
import { completeSettings } from "./settings.ts";
import { train } from "./train.ts";

/** Trains, and writes everything that is written. @returns whether all iterations are done: a person may have stopped it */
export async function run(commandLine: CommandLine): Promise<boolean> {
  const { out } = commandLine;
  await makeFolder(out);
  const digits = loadDigits();
  const { gan, stopBackend } = await prepare(commandLine, digits.training);
  try {
    return await trainAndShow(gan, digits, commandLine);
  } finally {
    await stopBackend();
  }
}

async function trainAndShow(
  gan: GanRun,
  digits: ReturnType<typeof loadDigits>,
  { out, checkpointEvery }: CommandLine,
): Promise<boolean> {
  const metricsFile = openMetricsFile(join(out, "metrics.jsonl"), gan.settings, gan.history);
  const checkpoints = openCheckpoints(out);
  /** The name of the file. A disk that is full ends no training. */
  const save = async (): Promise<string | undefined> => {
    try {
      return await checkpoints.save(await snapshot(gan));
    } catch (error) {
      if (!isOptimError(error) || error.code !== "storage-error") throw error;
      console.error(`not saved: ${error.message}`);
      return undefined;
    }
  };

  const interruption = catchInterruption();
  const progress = createProgress(process.stdout, { first: gan.iteration, last: gan.settings.iterations });
  const done = await train(gan, {
    signal: interruption.signal,
    onMetrics(metrics) {
      metricsFile.train(metrics);
      progress.show(metrics);
    },
    onIteration: async () => {
      if (gan.iteration % checkpointEvery === 0) await save();
    },
  }).finally(() => progress.stop());
  const saved = await save();
  interruption.stopCatching();
  await writeFile(join(out, "samples.png"), await drawSamples(gan.frames));
  await writeFile(join(out, "losses.png"), await drawLosses(gan.history));
  const folder = nearest(out);
  console.log(
    `${done ? "done" : "stopped"} after ${gan.iteration} iterations, ${gan.seconds.toFixed(1)} s of training`,
  );
  if (!done) {
    if (saved !== undefined) console.log(`go on with: --resume ${join(folder, saved)}`);
    return false;
  }

  const quality = await assess(gan.average, digits, gan.settings.seed);
  metricsFile.quality(quality);
  console.log(describe("samples", "the asked class", quality.samples));
  console.log(describe("real digits, held out", "the true class", quality.heldOut));
  console.log(
    `written to ${folder}: samples.png, losses.png, metrics.jsonl${saved === undefined ? "" : `, ${saved}`}`,
  );
  return true;
}

interface Prepared {
  readonly gan: GanRun;
  readonly stopBackend: () => Promise<void>;
}

async function prepare({ given, resume }: CommandLine, digits: Digits): Promise<Prepared> {
  if (resume === undefined) {
    const settings = completeSettings(given);
    const stopBackend = await startBackend(settings.tfjsBackend);
    return { gan: startRun(settings, digits), stopBackend };
  }
  const checkpoint = await findCheckpoint(resume);
  const saved = savedRun(checkpoint);
  const settings = resumedSettings(saved.settings, given, saved.iteration);
  const stopBackend = await startBackend(settings.tfjsBackend);
  return { gan: await resumeRun(settings, digits, checkpoint), stopBackend };
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

/** The first Ctrl-C lets the iteration in progress end, and a checkpoint be written; a second one ends the process at once. */
function catchInterruption(): { readonly signal: AbortSignal; readonly stopCatching: () => void } {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.once(signal, interrupt);
  const stopCatching = () => signals.forEach((signal) => process.off(signal, interrupt));
  return { signal: interruption.signal, stopCatching };
}

function describe(what: string, label: string, { count, agreement, nearest, spread }: Assessment): string {
  return (
    `${count} ${what}: classified as ${label} ${(100 * agreement).toFixed(1)} %, ` +
    `nearest training digit at ${nearest.median.toFixed(2)} (median; least ${nearest.least.toFixed(2)}), ` +
    `spread within a class ${spread.toFixed(2)}`
  );
}
