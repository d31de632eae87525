import { createRun, type Run, type RunOptions } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import { nextBatch } from "./batch.ts";
import type { Gan, GanOptim } from "./gan.ts";
import { discriminatorLoss, generatorLoss } from "./losses.ts";
import { readWeights, updateAverage, writeWeights } from "./models.ts";

type Options = Pick<RunOptions, "signal" | "store" | "saveEvery" | "onSaveError"> & {
  readonly to?: NonNullable<RunOptions["log"]>["to"];
};

/** A run that trains a GAN: what it saves, and what it goes on with. */
export function createTraining(gan: Gan, { to = [], ...options }: Options = {}): Run<GanOptim> {
  const { optim, schedulers, settings, random, average, frames } = gan;
  return createRun({
    optim,
    schedulers,
    until: settings.iterations,
    info: { program: "gan-digits", settings },
    state: {
      random: {
        stateDict: () => random.state(),
        loadStateDict: (state) => random.restore(state as readonly number[]),
      },
      average: {
        stateDict: () => readWeights(average),
        loadStateDict: (state) => writeWeights(average, state as Record<string, Float32Array>),
      },
      frames,
    },
    log: { every: settings.logEvery, to },
    ...options,
  });
}

/** Trains until all iterations are done, or the run is stopped. */
export async function train(gan: Gan, run: Run<GanOptim>): Promise<void> {
  const { generator, average, frames, digits, settings, random } = gan;
  const { updates: counted } = gan.schedulers.get("generator");
  let averaged = counted;
  /** The average follows every step of the generator, that of the last, short window too. */
  const follow = (): void => {
    const { updates } = gan.schedulers.get("generator");
    if (updates > averaged) updateAverage(average, generator, averageDecay);
    averaged = updates;
  };

  for await (const iteration of run) {
    if (frames.isDue(iteration - 1)) await run.untimed(() => frames.keep(iteration - 1, average));
    const batch = nextBatch(digits, settings.batch, random);
    run.update("discriminator", () => discriminatorLoss(gan, batch));
    run.update("generator", () => generatorLoss(gan, batch));
    follow();
    tf.dispose([batch.real, batch.asked, batch.input]);
  }
  follow();
  if (run.done && frames.isDue(run.iteration)) await frames.keep(run.iteration, average);
}

const averageDecay = 0.995;
