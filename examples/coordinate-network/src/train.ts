import { cosine, createScheduler } from "@mm/optim-schedule";
import { createRun, type Run, type RunOptions } from "@mm/optim-train";
import type { Fit } from "./fit.ts";
import { createFrames, type Frame, type Frames } from "./frames.ts";
import type { Picture } from "./picture.ts";
import type { Settings } from "./settings.ts";

interface Options extends Pick<RunOptions, "signal" | "store" | "saveEvery"> {
  /** Training waits for it, and its time is none of training. */
  readonly onFrame?: (frame: Frame) => Promise<void> | void;
}

export interface Training {
  readonly run: Run<Fit["optim"]>;
  readonly frames: Frames;
  /** Trains until all steps are done, or the run is stopped. The last frame shows how far it came. */
  train(): Promise<void>;
}

/** A run that fits a picture: what it saves, and what it goes on with. */
export function createTraining(
  fit: Fit,
  wanted: Picture,
  settings: Settings,
  { onFrame, ...options }: Options = {},
): Training {
  const { optim, random } = fit;
  const { steps, accumulate } = settings;
  const frames = createFrames(steps);
  const run = createRun({
    optim,
    schedulers: createScheduler(optim, { lr: cosine({ length: steps }) }),
    until: steps,
    info: { program: "coordinate-network", settings },
    state: { random, frames },
    ...options,
  });

  /** Waits for the device. */
  const show = async (step: number): Promise<void> => {
    const frame = frames.keep(step, await fit.draw(wanted.width, wanted.height), wanted, run.seconds);
    await onFrame?.(frame);
  };

  return {
    run,
    frames,
    async train() {
      for await (const step of run) {
        if (frames.isDue(step - 1)) await run.untimed(() => show(step - 1));
        for (let count = 0; count < accumulate; count++) run.update(fit.nextBatch());
      }
      if (frames.all.at(-1)?.step !== run.iteration) await show(run.iteration);
    },
  };
}
