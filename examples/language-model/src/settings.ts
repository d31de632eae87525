import type { Backend } from "@mm-examples/gan-digits/settings";

export const optimizers = ["muon", "adamw", "schedule-free"] as const;
export type OptimizerName = (typeof optimizers)[number];

/** Up at the beginning, then: level and down to 0 over the second half; level to the end; down along half a cosine. */
export const schedules = ["decay", "level", "cosine"] as const;
export type ScheduleName = (typeof schedules)[number];

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
  /** Of AdamW. Default: that of the recipe. */
  readonly lr?: number;
  /** Of Muon, the same. */
  readonly muonLr?: number;
  /** Default `"decay"`. The warm-up of a schedule-free rule is its own, and all its schedule. */
  readonly schedule?: ScheduleName;
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

/** The rates of AdamW and of Muon. */
export const ratesOf = (name: OptimizerName, { lr, muonLr }: Partial<Settings> = {}) => ({
  lr: lr ?? (name === "schedule-free" ? 16e-3 : 8e-3),
  muonLr: muonLr ?? 0.02,
});

/** Each text that is written begins so. */
export const prompt = "The whale";
