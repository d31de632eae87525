import { createRun, type Run, type RunOptions } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import { nextBatch } from "./batch.ts";
import { type Gan, type GanOptim, withAverage } from "./gan.ts";
import { discriminatorLoss, generatorLoss } from "./losses.ts";
import { shareOf } from "./ranks.ts";

type Options = Pick<RunOptions, "signal" | "store" | "saveEvery" | "onSaveError"> & {
  readonly to?: NonNullable<RunOptions["log"]>["to"];
};

/** A run that trains a GAN: what it saves, and what it goes on with. */
export function createTraining(gan: Gan, { to = [], ...options }: Options = {}): Run<GanOptim> {
  const { optim, schedulers, settings, random, frames, ranks } = gan;
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
      frames,
    },
    log: { every: settings.logEvery, to },
    ranks,
    ...options,
  });
}

/** Trains until all iterations are done, or the run is stopped. */
export async function train(gan: Gan, run: Run<GanOptim>): Promise<void> {
  const { generator, frames, digits, settings, random, ranks } = gan;
  /** The first rank draws. */
  const isDue = (iteration: number): boolean => !ranks?.rank && frames.isDue(iteration);
  const draw = (iteration: number) => withAverage(gan, () => frames.keep(iteration, generator));

  for await (const iteration of run) {
    if (isDue(iteration - 1)) await run.untimed(() => draw(iteration - 1));
    const batch = shareOf(nextBatch(digits, settings.batch, random), ranks);
    const rows = batch.real.shape[0];
    if (rows === 0) for (const name of ["discriminator", "generator"] as const) run.skip(name);
    else {
      // Of a batch that ranks share, each counts with its rows.
      const weight = ranks ? rows : 1;
      run.update("discriminator", () => discriminatorLoss(gan, batch), { weight });
      run.update("generator", () => generatorLoss(gan, batch), { weight });
    }
    tf.dispose([batch.real, batch.asked, batch.input]);
  }
  if (run.done && isDue(run.iteration)) await draw(run.iteration);
}
