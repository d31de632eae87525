import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import type { Metrics } from "@mm/optim-train";
import { expect } from "vitest";
import { createGan, type Gan } from "../src/gan.ts";
import { loadDigits } from "../src/load-digits.ts";
import type { Settings } from "../src/settings.ts";
import { createTraining, train } from "../src/train.ts";

const { training } = loadDigits();

export interface Trained {
  readonly gan: Gan;
  readonly iteration: number;
  /** Without times. */
  readonly lines: readonly (readonly [iteration: number, metrics: Metrics])[];
}

interface How {
  /** An iteration that is logged. */
  readonly stopAfter?: number;
  /** Where it is saved, and resumed from. */
  readonly folder?: string;
  readonly resume?: boolean;
  readonly onLine?: (iteration: number) => void;
}

/** A GAN that was trained, or as far as it was. */
export async function trained(
  settings: Settings,
  { stopAfter, folder, resume, onLine }: How = {},
): Promise<Trained> {
  const gan = createGan(settings, training);
  const lines: [number, Metrics][] = [];
  const stop = new AbortController();
  const times = new Set(["seconds", "perSecond", "secondsLeft"]);
  const run = createTraining(gan, {
    signal: stop.signal,
    to(iteration, metrics) {
      lines.push([
        iteration,
        Object.fromEntries(Object.entries(metrics).filter(([name]) => !times.has(name))),
      ]);
      onLine?.(iteration);
      if (iteration === stopAfter) stop.abort();
    },
    ...(folder !== undefined && { store: checkpointStore(openCheckpoints(folder)) }),
  });
  if (resume === true) expect(await run.resume()).toBeDefined();
  await train(gan, run);
  return { gan, iteration: run.iteration, lines };
}
