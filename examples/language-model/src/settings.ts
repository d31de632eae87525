import type { Backend } from "@mm-examples/gan-digits/settings";

export const optimizers = ["muon", "adamw", "schedule-free"] as const;
export type OptimizerName = (typeof optimizers)[number];

/** The settings that decide the numbers of a run. Saved in its checkpoints: a resumed run keeps them. */
export interface Settings {
  readonly tfjsBackend: Backend;
  /** One training after the other, each from the same beginning. */
  readonly optimizers: readonly OptimizerName[];
  readonly steps: number;
  readonly seed: number;
  /** Texts in a micro-batch, over all ranks. */
  readonly rows: number;
  /** Micro-batches in a step. */
  readonly accumulate: number;
  /** Tokens in a text. */
  readonly context: number;
  readonly layers: number;
  readonly width: number;
}

/** A recipe that works, with what was `given` laid over it. */
export const completeSettings = (given: Partial<Settings>): Settings => ({
  tfjsBackend: "wasm",
  optimizers: ["muon", "adamw"],
  steps: 300,
  seed: 1,
  rows: 16,
  accumulate: 1,
  context: 64,
  layers: 4,
  width: 64,
  ...given,
});
