import { setImmediate } from "node:timers/promises";
import * as tf from "@tensorflow/tfjs-core";
import { nextBatch } from "./batch.ts";
import { classes } from "./digits.ts";
import type { GanRun } from "./gan.ts";
import { discriminatorLoss, generatorLoss } from "./losses.ts";
import type { Metrics } from "./metrics.ts";
import { generate, generatorInput, updateAverage } from "./models.ts";
import { createRandom } from "./random.ts";

export interface TrainHooks {
  /** Stops the run after the iteration in progress. */
  readonly signal?: AbortSignal;
  readonly onMetrics?: (metrics: Metrics) => void;
  /** Between two iterations; training waits for it. */
  readonly onIteration?: (run: GanRun) => Promise<void> | undefined;
}

/** Trains until all iterations are done, or the signal says stop. @returns whether all are done */
export async function train(
  run: GanRun,
  { signal, onMetrics, onIteration }: TrainHooks = {},
): Promise<boolean> {
  const { optim, schedulers, generator, average, settings } = run;
  const clock = resumeClock(run.seconds);
  const stopped = () => signal?.aborted === true;
  const frameTimes = scheduleFrames(settings.iterations);

  while (run.iteration < settings.iterations && !stopped()) {
    if (frameTimes.has(run.iteration)) await keepFrame(run);
    const returnLoss = (run.iteration + 1) % settings.logEvery === 0;

    const batch = nextBatch(run.digits, settings.batch, run.random);
    const discriminated = optim
      .get("discriminator")
      .updateParams(() => discriminatorLoss(run, batch), { returnLoss });
    const generated = optim.get("generator").updateParams(() => generatorLoss(run, batch), { returnLoss });
    schedulers.get("discriminator").step(discriminated);
    schedulers.get("generator").step(generated);
    if (generated.updated) updateAverage(average, generator, averageDecay);
    tf.dispose([batch.real, batch.asked, batch.input]);

    run.iteration++;
    run.seconds = clock();
    if (returnLoss) {
      const metrics = await readMetrics(run, { generator: generated, discriminator: discriminated });
      run.history.push(metrics);
      onMetrics?.(metrics);
    }
    await onIteration?.(run);
    await setImmediate(); // lets signals and the terminal in
  }
  if (run.iteration < settings.iterations) return false;

  // The last window may be short.
  optim.get("discriminator").flush();
  if (optim.get("generator").flush().updated) updateAverage(average, generator, averageDecay);
  await keepFrame(run);
  return true;
}

const averageDecay = 0.995;

type Networks = "generator" | "discriminator";

interface Step {
  readonly updated: boolean;
  readonly loss?: tf.Scalar;
}

/** Waits for the device, so not in every iteration. Disposes the losses. */
async function readMetrics(run: GanRun, steps: Readonly<Record<Networks, Step>>): Promise<Metrics> {
  const { optim, iteration, seconds } = run;
  const norms = await optim.readMetrics();
  const lr = optim.getLr();
  const of = async (network: Networks) => {
    const { updated, loss } = steps[network];
    const [value = Number.NaN] = (await loss?.data()) ?? [];
    loss?.dispose();
    const { gradNorm } = norms[network];
    return {
      loss: value,
      lr: lr[`${network}.lr`][0] ?? Number.NaN,
      ...(updated && gradNorm !== undefined && { gradNorm }),
    };
  };
  return { iteration, generator: await of("generator"), discriminator: await of("discriminator"), seconds };
}

/** Digits change fastest at the beginning: the times of twelve frames grow with the square. */
function scheduleFrames(iterations: number): ReadonlySet<number> {
  return new Set(Array.from({ length: 12 }, (_, i) => Math.round(iterations * (i / 11) ** 2)));
}

async function keepFrame({ settings, average, iteration, frames }: GanRun): Promise<void> {
  if (frames.at(-1)?.iteration === iteration) return;
  const labels = Uint8Array.from({ length: classes }, (_, label) => label);
  const images = tf.tidy(() =>
    generate(average, generatorInput(labels, createRandom(settings.seed, "samples"))),
  );
  frames.push({ iteration, images: Float32Array.from(await images.data<"float32">()) });
  images.dispose();
}

function resumeClock(earlier: number): () => number {
  const began = performance.now();
  return () => earlier + (performance.now() - began) / 1000;
}
