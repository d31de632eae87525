import { setImmediate } from "node:timers/promises";
import type { Fit } from "./fit.ts";
import { type Picture, psnr } from "./picture.ts";
import type { Settings } from "./settings.ts";

/** The picture as the network saw it after so many steps. */
export interface Frame {
  readonly step: number;
  readonly picture: Picture;
  /** Decibels, against the true picture. */
  readonly psnr: number;
  /** Of training so far, without the time that drawing took. */
  readonly seconds: number;
}

export interface TrainHooks {
  /** Stops the run after the step in progress. */
  readonly signal?: AbortSignal;
  /** Training waits for it. */
  readonly onFrame?: (frame: Frame) => Promise<void> | void;
}

/** Trains until all steps are done, or the signal says stop. @returns the frames; the last shows how far it came */
export async function train(
  fit: Fit,
  wanted: Picture,
  { steps, accumulate, lr }: Settings,
  { signal, onFrame }: TrainHooks = {},
): Promise<readonly Frame[]> {
  let began = performance.now();
  const frames: Frame[] = [];
  const frameTimes = scheduleFrames(steps);
  for (let step = 0; ; step++) {
    const over = step === steps || signal?.aborted === true;
    if (over || frameTimes.has(step)) {
      // The only place that waits for the device.
      const picture = await fit.draw(wanted.width, wanted.height);
      const seconds = (performance.now() - began) / 1000;
      const frame = { step, picture, psnr: psnr(picture, wanted), seconds };
      frames.push(frame);
      const trained = performance.now();
      await onFrame?.(frame);
      began += performance.now() - trained;
    }
    if (over) return frames;
    for (let count = 0; count < accumulate; count++) fit.train(lr * falling(step / steps));
    await setImmediate(); // lets signals and the terminal in
  }
}

/** From 1 at 0 to 0 at 1. */
const falling = (part: number): number => (1 + Math.cos(Math.PI * part)) / 2;

/** Pictures change fastest at the beginning: the times of eleven frames grow with the square. */
const scheduleFrames = (steps: number): ReadonlySet<number> =>
  new Set(Array.from({ length: frameCount }, (_, i) => Math.round(steps * (i / (frameCount - 1)) ** 2)));

const frameCount = 11;
