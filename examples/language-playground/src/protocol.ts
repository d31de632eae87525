/** The messages of page and worker. */
import type { BackendChoice, TfjsBackend } from "@mm-examples/gan-playground/choices";
import type { Sample } from "@mm-examples/language-model/train";
import type { Controls } from "./controls.ts";

export interface Progress {
  /** Steps that are done. */
  readonly iteration: number;
  readonly steps: number;
  readonly backend: TfjsBackend;
  /** Of one step, over the steps since the report before. */
  readonly milliseconds: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft?: number | undefined;
  /** Nats for each token of the batch, and of the texts that nothing trains on: those come now and then. */
  readonly loss?: number | undefined;
  readonly validation?: number | undefined;
  readonly bitsPerCharacter?: number | undefined;
  readonly gradNorm?: number | undefined;
  /** Of the hidden matrices, and of all other weights. */
  readonly hiddenLr: number;
  readonly lr: number;
  /** Tensors alive in tfjs: constant while nothing leaks. */
  readonly tensors: number;
}

/** How the worker reports. Called on the page. */
export interface Reporter {
  progress(progress: Progress): void;
  /** All that was written, the newest last. */
  samples(samples: readonly Sample[]): void;
  /** All steps are done. */
  finished(): void;
  /** The training loop ended with an error. */
  failed(message: string): void;
}

interface Opened {
  readonly choices: readonly BackendChoice<TfjsBackend>[];
  readonly controls: Controls;
}

/** The trainer, as the page calls it in the worker. A change of the model takes effect between two steps. */
export interface Trainer {
  open(reporter: Reporter): Promise<Opened>;
  run(): Promise<void>;
  /** @returns the steps that are done */
  pause(): Promise<number>;
  /** Resolves when the controls are in force, with what is worth saying about it. */
  apply(controls: Controls): Promise<string>;
  reset(): Promise<void>;
  /** A checkpoint as the program writes it. */
  save(): Promise<Blob>;
  /** The controls of a checkpoint of the page or of the program. The backend stays. */
  load(file: Blob): Promise<Controls>;
}
