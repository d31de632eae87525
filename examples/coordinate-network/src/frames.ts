import type { Stateful } from "@mm/optim-train";
import { type Picture, psnr } from "./picture.ts";

/** The picture as the network saw it after so many steps. */
export interface Frame {
  readonly step: number;
  readonly picture: Picture;
  /** Decibels, against the true picture. */
  readonly psnr: number;
  /** Of training so far, without the time that drawing took. */
  readonly seconds: number;
}

/** The pictures on the way. They are part of a run's state. */
export interface Frames extends Stateful {
  readonly all: readonly Frame[];
  /** Pictures change fastest at the beginning: the times of eleven frames grow with the square. */
  isDue(step: number): boolean;
  keep(step: number, picture: Picture, wanted: Picture, seconds: number): Frame;
}

const frameCount = 11;

export function createFrames(steps: number): Frames {
  const times = new Set(
    Array.from({ length: frameCount }, (_, i) => Math.round(steps * (i / (frameCount - 1)) ** 2)),
  );
  let all: readonly Frame[] = [];
  return {
    get all() {
      return all;
    },
    isDue: (step) => times.has(step) && all.at(-1)?.step !== step,
    keep(step, picture, wanted, seconds) {
      const frame = { step, picture, psnr: psnr(picture, wanted), seconds };
      all = [...all, frame];
      return frame;
    },
    stateDict: () => all,
    loadStateDict(state) {
      all = state as readonly Frame[];
    },
  };
}
