import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBackend } from "@mm-examples/gan-digits/backend";
import { UsageError } from "@mm-examples/gan-digits/errors";
import { isOptimError } from "@mm/optim-core";
import type { FoundRun } from "@mm/optim-train";
import { jsonLinesFile, stopSignal } from "@mm/optim-train/node";
import { findRuns, folderOf, storeOf } from "./checkpoint.ts";
import { type CommandLine, resumedSettings } from "./command-line.ts";
import { type Curve, drawLosses } from "./figures.ts";
import { labels } from "./labels.ts";
import type { Ranks } from "./optim.ts";
import { createProgress, indented } from "./progress.ts";
import { joinRanks } from "./ranks.ts";
import { completeSettings, type OptimizerName, type Settings } from "./settings.ts";
import { loadText } from "./load-text.ts";
import type { Text } from "./text.ts";
import { createTraining, type Sample } from "./train.ts";

/** Trains one optimizer after the other, and writes all that is written. @returns whether all steps are done: a person may have stopped it */
export async function run({ given, out, resume, checkpointEvery }: CommandLine): Promise<boolean> {
  const ranks = await joinRanks();
  const found = resume === undefined ? undefined : await findRuns(resume);
  const settings = found ? resumedSettings(found.settings, given) : completeSettings(given);
  const stopBackend = await startBackend(settings.tfjsBackend);
  const trained: Trained[] = [];
  const text = loadText();
  const signal = stopSignal();
  try {
    for (const optimizer of settings.optimizers) {
      const where = { optimizer, settings, text, out, checkpointEvery, ranks, signal };
      const one = await trainOne(where, found?.runs.get(optimizer));
      trained.push(one);
      if (!one.done) break;
    }
    if ((ranks?.rank ?? 0) === 0) await show(trained, settings, out);
  } finally {
    signal.dispose();
    await stopBackend();
  }
  return trained.length === settings.optimizers.length && trained.every(({ done }) => done);
}

interface Trained extends Curve {
  readonly done: boolean;
  readonly samples: readonly Sample[];
}

interface Where {
  readonly optimizer: OptimizerName;
  readonly settings: Settings;
  readonly text: Text;
  readonly out: string;
  readonly checkpointEvery: number;
  readonly ranks: Ranks | undefined;
  readonly signal: ReturnType<typeof stopSignal>;
}

async function trainOne(where: Where, found: FoundRun | undefined): Promise<Trained> {
  const { optimizer, settings, text, out, checkpointEvery, ranks, signal } = where;
  const { steps, rows, accumulate, context } = settings;
  const folder = folderOf(out, optimizer);
  makeFolder(folder);
  const metrics = jsonLinesFile(join(folder, "metrics.jsonl"));
  const progress = createProgress(process.stdout, labels[optimizer], steps * accumulate, rows * context);
  const training = createTraining(optimizer, settings, text, {
    signal,
    ranks,
    to: [metrics, progress.sink],
    onSample: (sample) => progress.sample(sample),
    store: storeOf(out, optimizer),
    saveEvery: checkpointEvery,
    onSaveError: tellOfFullDisk,
  });
  if (found) await training.run.resume({ from: found });
  await training.train().finally(() => progress.stop());
  const { samples, run } = training;
  training.dispose();
  return { optimizer, accumulate, samples, done: run.done, lines: metrics.read() };
}

async function show(trained: readonly Trained[], { accumulate }: Settings, out: string): Promise<void> {
  writeFileSync(join(out, "samples.txt"), trained.map(describe).join("\n\n"));
  writeFileSync(join(out, "losses.png"), await drawLosses(trained));
  for (const { optimizer, lines, done } of trained) {
    const last = lines.findLast((line) => line["validation"] !== undefined);
    const reached =
      last === undefined
        ? "no step is done"
        : `${last.step / accumulate} steps in ${last["seconds"]?.toFixed(1)} s of training, validation loss ` +
          `${last["validation"]?.toFixed(3)}, ${last["bitsPerCharacter"]?.toFixed(3)} bits a character`;
    console.log(`${labels[optimizer]}: ${reached}${done ? "" : "; stopped, go on with --resume"}`);
  }
  console.log(`written to ${out}: losses.png, samples.txt, and metrics and checkpoints of each`);
}

const describe = ({ optimizer, samples }: Trained): string =>
  samples
    .map(({ step, text }) => `${labels[optimizer]} after ${step} steps:\n\n${indented(text)}\n`)
    .join("\n");

/** A disk that is full ends no training. */
function tellOfFullDisk(error: unknown): void {
  if (!isOptimError(error) || error.code !== "storage-error") throw error;
  console.error(`not saved: ${error.message}`);
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--out: ${reason}`, { cause: error });
  }
}
