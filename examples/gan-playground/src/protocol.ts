/** The messages of page and worker. */
import type { BackendChoice, BackendName, Side } from "./choices.ts";
import type { Controls } from "./controls.ts";

export interface SideProgress {
  readonly loss: number;
  readonly lr: number;
  /** Absent before the first step, and where the optimizer does not tell (`tf.train.adam`). */
  readonly gradNorm?: number;
  readonly lossScale?: number;
  readonly skipped?: number;
}

export type Progress = Readonly<Record<Side, SideProgress>> & {
  readonly iteration: number;
  readonly backend: BackendName;
  /** Of one iteration, both networks, over the iterations since the report before. */
  readonly milliseconds: number;
  /** Tensors alive in tfjs: constant while nothing leaks. */
  readonly tensors: number;
};

/** Images from 0 (paper) to 1 (ink), `columns` in a row, each `side` × `side`. */
export interface Samples {
  readonly images: Float32Array;
  /** After which they were drawn. */
  readonly iteration: number;
  readonly columns: number;
}

/** How the worker reports. Called on the page. */
export interface Reporter {
  progress(progress: Progress): void;
  samples(samples: Samples): void;
  /** The training loop ended with an error. */
  failed(message: string): void;
}

/** The trainer, as the page calls it in the worker. A change of the model takes effect between two iterations. */
export interface Trainer {
  open(reporter: Reporter): Promise<readonly BackendChoice[]>;
  run(): void;
  /** @returns the iterations that are done */
  pause(): Promise<number>;
  /** Resolves when the controls are in force, with what is worth saying about it. */
  apply(controls: Controls): Promise<string>;
  reset(): Promise<void>;
  /** A safetensors file: both networks, their optimizers, and where training was. */
  save(): Promise<Blob>;
  /** The controls of the file. The backend stays. */
  load(file: Blob): Promise<Controls>;
}
