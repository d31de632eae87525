import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import type { FoundRun, SavedRun } from "@mm/optim-train";
import { jsonLinesFile, progressLines, stopSignal } from "@mm/optim-train/node";
import type { CommandLine } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import { evaluate } from "./evaluate.ts";
import { drawReturns } from "./figures/returns.ts";
import { mean } from "./mean.ts";
import type { Settings } from "./settings.ts";
import { createLearner, createTraining, train } from "./train.ts";

const evaluationEpisodes = 100;

/** Trains, judges, and writes everything that is written. @returns whether all iterations are done: a person may have stopped it */
export async function run({ settings: given, out, resume }: CommandLine): Promise<boolean> {
  await makeFolder(out);
  const store = checkpointStore<SavedRun>(openCheckpoints(out));
  const found = resume ? await store.find() : undefined;
  if (resume && found === undefined) throw new UsageError(`no checkpoint in ${out}`);
  const settings = found ? settingsOf(found) : given;
  const learner = createLearner(settings);
  const metrics = jsonLinesFile(join(out, "metrics.jsonl"));
  const signal = stopSignal();
  const training = createTraining(learner, { signal, store, to: [metrics, progressLines()] });
  if (found) await training.resume({ from: found });
  await train(learner, training);
  signal.dispose();
  await writeFile(join(out, "returns.png"), await drawReturns(learner.returns.value, metrics.read()));
  if (!training.done) {
    console.log(`stopped after ${training.iteration} iterations; go on with --resume --out ${nearest(out)}`);
    return false;
  }
  console.log(`trained in ${training.seconds.toFixed(1)} s`);
  const returns = evaluate(learner.actor, evaluationEpisodes, settings.seed);
  console.log(
    `mean return ${mean(returns).toFixed(1)} over ${returns.length} episodes (least ${Math.min(...returns)}, limit 500)`,
  );
  console.log(`written to ${nearest(out)}: returns.png, metrics.jsonl`);
  return true;
}

/** A run goes on with the settings that it was started with. @throws UsageError for a checkpoint of another program */
function settingsOf({ run }: Pick<FoundRun, "run">): Settings {
  const { program, settings } = Object((Object(run) as SavedRun).info) as {
    readonly program?: unknown;
    readonly settings: Settings;
  };
  if (program !== "actor-critic") throw new UsageError("the checkpoint is one of another program");
  return settings;
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

/** The path as a person here would write it. */
function nearest(path: string): string {
  const fromHere = relative(process.cwd(), path) || ".";
  return fromHere.startsWith("..") ? path : fromHere;
}
