import { createHash } from "node:crypto";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import type { Metrics } from "@mm/optim-train";
import { expect } from "vitest";
import type { OptimizerName, Settings } from "../src/settings.ts";
import { loadText } from "../src/load-text.ts";
import { createTraining, type Training } from "../src/train.ts";

export const text = loadText();

export interface Trained {
  readonly training: Training;
  /** Without times. */
  readonly lines: readonly (readonly [iteration: number, metrics: Metrics])[];
}

interface How {
  /** An iteration after which it is stopped, and saved. A second `train()` goes on. */
  readonly stopAfter?: number;
  /** Where it is saved, and resumed from. */
  readonly folder?: string;
  readonly resume?: boolean;
  readonly logEvery?: number;
  readonly onLine?: (iteration: number) => void;
}

/** A model that was trained, or as far as it was. */
export async function trained(
  name: OptimizerName,
  settings: Settings,
  { stopAfter, folder, resume, logEvery = 2, onLine }: How = {},
): Promise<Trained> {
  let stop = stopAfter;
  const lines: [number, Metrics][] = [];
  const times = new Set(["seconds", "perSecond", "secondsLeft"]);
  const training: Training = createTraining(name, settings, text, {
    validationRows: 32,
    sampleTokens: 12,
    logEvery,
    // Looked at before every iteration, in the middle of a window too, where no line is written.
    signal: {
      get aborted() {
        return training.run.iteration === stop;
      },
      addEventListener: () => undefined,
      removeEventListener: () => undefined,
    },
    to: [
      (iteration, metrics) => {
        const numbers = Object.entries(metrics).filter(([number]) => !times.has(number));
        lines.push([iteration, Object.fromEntries(numbers)]);
        onLine?.(iteration);
      },
    ],
    ...(folder !== undefined && { store: checkpointStore(openCheckpoints(folder)) }),
  });
  if (resume === true) expect(await training.run.resume()).toBeDefined();
  await training.train();
  stop = undefined;
  return { training, lines };
}

/** All that the next iteration depends on, and what was written: tensors by a hash of their bytes, where −0 is not 0. */
export async function bits({ training: { model, optim, samples } }: Trained): Promise<unknown> {
  const weights = await Promise.all(Object.values(model.weights).map((weight) => weight.data()));
  const text = JSON.stringify({ weights, optim: await optim.stateDict(), samples }, (_, value: unknown) =>
    value instanceof Float32Array ? createHash("sha256").update(value).digest("hex") : value,
  );
  return JSON.parse(text) as unknown;
}

export const lossesOf = (lines: Trained["lines"]): readonly number[] =>
  lines.flatMap(([, { loss }]) => loss ?? []);

export const lastValidation = (lines: Trained["lines"]): number =>
  lines.flatMap(([, { validation }]) => validation ?? []).at(-1) ?? Number.NaN;
