/** The settings that decide the numbers of a run. */
export interface Settings {
  /** It falls from here to 0 along half a cosine. */
  readonly lr: number;
  /** Points of the picture in a micro-batch. */
  readonly batch: number;
  readonly steps: number;
  /** Micro-batches per step. */
  readonly accumulate: number;
  /** Gradients are largest at the beginning: clipped, they leave Adam's averages fit for what comes. */
  readonly clipNorm: number;
  readonly lossScale?: "dynamic";
  readonly seed: number;
  /** The picture is a square of so many pixels a side. */
  readonly side: number;
}

/** A recipe that works, with what was `given` laid over it. */
export const completeSettings = (given: Partial<Settings>): Settings => ({
  lr: 3e-2,
  batch: 1024,
  steps: 500,
  accumulate: 1,
  clipNorm: 0.01,
  seed: 1,
  side: 128,
  ...given,
});
