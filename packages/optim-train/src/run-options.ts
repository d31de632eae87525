import type { RunRanks } from "./agreement.ts";
import type { MetricsSink } from "./metrics/metrics.ts";
import type { FoundRun, RunStore } from "./run-store.ts";
import type { RunSchedulers } from "./schedulers.ts";
import type { Stateful } from "./stateful.ts";
import type { Wrappers } from "./wrappers.ts";

/** As much of an `AbortSignal` as a run needs: a program without the types of browsers or of Node has no such name. */
export interface RunSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

export interface RunOptions<O extends Wrappers = Wrappers> {
  /** A wrapper, an `OptimWrapperDict`, or pairs of name and wrapper. */
  readonly optim: O;
  /** Stepped with every update, and saved: a scheduler for a wrapper, a dict of schedulers for several. */
  readonly schedulers?: RunSchedulers | undefined;
  /** Iterations in all. A resumed run may have more, or fewer, than before. Default: no end. */
  readonly until?: number;
  /** Ends the run after the iteration in progress: `stopSignal()` of `/node`. */
  readonly signal?: RunSignal | undefined;
  /** Saved and restored with the run, by name. */
  readonly state?: { readonly [name: string]: Stateful };
  /** Plain data that a save holds and `resume` leaves alone: the settings that the wrappers were made from. */
  readonly info?: unknown;
  readonly log?: LogOptions;
  readonly store?: RunStore | undefined;
  /** Iterations between two saves. A run with a store is saved at its end too, and when it is stopped. Default: only then. */
  readonly saveEvery?: number | undefined;
  /** Told of a save that failed (a full disk). Default: the run fails. */
  readonly onSaveError?: (error: unknown) => void;
  /** So many skipped steps in a row, of one wrapper, end the run with `non-finite-gradient`, when metrics are read next. Default: no limit. */
  readonly maxSkipped?: number;
  /** The ranks of a job, all of which run the same loop: a communicator. Rank 0 logs and saves; a stop reaches all at one iteration. */
  readonly ranks?: RunRanks | undefined;
  /** Iterations after which ranks tell each other whether one is to stop. Default: the smaller of `saveEvery` and `log.every`. */
  readonly agreeEvery?: number;
  /** Milliseconds after which messages and other tasks are let in, between two iterations. Default 10. */
  readonly yieldEvery?: number;
}

export interface LogOptions {
  /** Iterations between two reads of metrics, each of which waits for the device. Default 100: a loop that never waits runs away from its device. */
  readonly every?: number;
  /** In place of `every`: milliseconds between two reads. A device that only enqueues hides its time, so the run finds a number of iterations. */
  readonly ms?: number;
  /** `"parameter"`: also the gradient norm of every parameter, `gradNorm[conv1.kernel]`, where a step was the last thing that its wrapper did. */
  readonly per?: "parameter" | undefined;
  /** Takes the metrics. On ranks other than 0 it is never called. */
  readonly to?: MetricsSink | readonly MetricsSink[];
}

export interface UpdateOptions {
  /** The micro-batch's weight in its window: samples of a batch that may be short. Default 1. */
  readonly weight?: number;
}

export interface ResumeOptions {
  /** A name in the store (`"best"`, a file), or what `store.find` found. Default: the newest. */
  readonly from?: string | FoundRun | undefined;
  /** Which schedules hold where those of the program and those that were saved differ. Without it, that is an error. */
  readonly schedules?: "saved" | "program";
  /** The same for hyperparameters of groups that no schedule drives, and for the values that schedules begin with. */
  readonly hyperparameters?: "saved" | "program";
}
