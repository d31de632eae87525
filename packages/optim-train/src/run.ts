import type { AnyOptimWrapper, OptimWrapper } from "@mm/optim-core";
import { LiveRun } from "./live-run.ts";
import type { Metrics, MetricsSink, RunProgress } from "./metrics/metrics.ts";
import type { RunRanks } from "./agreement.ts";
import type { FoundRun, RunStore } from "./run-store.ts";
import type { RunSchedulers } from "./schedulers.ts";
import type { Stateful } from "./stateful.ts";
import type { Wrappers } from "./wrappers.ts";

export interface RunOptions<O extends Wrappers = Wrappers> {
  /** A wrapper, an `OptimWrapperDict`, or pairs of name and wrapper. */
  readonly optim: O;
  /** Stepped with every update, and saved: a scheduler for a wrapper, a dict of schedulers for several. */
  readonly schedulers?: RunSchedulers | undefined;
  /** Iterations in all. A resumed run may have more, or fewer, than before. Default: no end. */
  readonly until?: number;
  /** Ends the run after the iteration in progress: `stopSignal()` of `/node`. */
  readonly signal?: AbortSignal | undefined;
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

type Named<O> = O extends Iterable<infer E extends readonly [string, unknown]> ? E : never;
type NameOf<O> = Named<O>[0];
type WrapperOf<O, K> = Extract<Named<O>, readonly [K, unknown]>[1];
type LossOf<W> = W extends OptimWrapper<infer Loss, unknown> ? Loss : never;

/** Updates the wrapper, or of several the one of that name. */
type Update<O> = O extends AnyOptimWrapper
  ? (loss: LossOf<O>, options?: UpdateOptions) => boolean
  : <const K extends NameOf<O>>(name: K, loss: LossOf<WrapperOf<O, K>>, options?: UpdateOptions) => boolean;

/** Counts a micro-batch that this wrapper has nothing for. */
type Skip<O> = O extends AnyOptimWrapper ? () => boolean : (name: NameOf<O>) => boolean;

/**
 * The plumbing of a training loop, and nothing of the loop: `for await (const iteration of run) { … }`. Iterations are numbered from 1; counting,
 * logging, saving, stopping and letting others in happen between two of them. The body is the program's.
 *
 * A loop that is left with `break` or by an error has an iteration that was begun and not done: the run is then neither saved nor continued before
 * `resume()`.
 */
export interface Run<O extends Wrappers = Wrappers> extends AsyncIterable<number>, RunProgress {
  /** Iterations that are done. In the body, without the present one. */
  readonly iteration: number;
  /** Seconds of training, those before a resume included; without what `untimed`, `between`, pauses and saves took. */
  readonly seconds: number;
  /** Whether `until` is reached. */
  readonly done: boolean;
  /** Why the last loop was stopped, if it was: `"signal"`, the reason of `stop()`, or `"another rank"`. */
  readonly stopped: string | undefined;

  /**
   * `updateParams` of the wrapper and its scheduler's step. Where this iteration is logged the loss is kept for it and disposed.
   *
   * @returns whether a step was enqueued
   * @throws OptimError what `updateParams` throws, `unknown-name`
   */
  readonly update: Update<O>;
  /** `skip()` of the wrapper, and its scheduler's step where that ended a window. */
  readonly skip: Skip<O>;
  /** Steps the short windows of all wrappers. With `epoch` their windows begin anew, and schedules count an epoch. */
  flush(options?: { readonly epoch?: boolean }): void;
  /** In the body: whether this iteration is a multiple of `count`, or the last. */
  every(count: number): boolean;
  /** Numbers for the line of this iteration, which is written even where metrics are not read. */
  log(metrics: Metrics): void;
  /** Evaluations, pictures: waits for the device, then stops the clock for `work`. */
  untimed<T>(work: () => T | Promise<T>): Promise<T>;
  /** Ends the run after this iteration. */
  stop(reason?: string): void;
  /** Saves after this iteration, under a name of its own (`"best"`) or as the newest. */
  saveAfter(name?: string): void;
  /**
   * Saves now, between iterations.
   *
   * @returns the name of the file; `undefined` where there is no store, or where `onSaveError` was told
   * @throws OptimError `reentrant` while an iteration is in progress
   */
  save(name?: string): Promise<string | undefined>;
  /**
   * Continues a run that was saved, if there is one: wrappers with their parameters, schedulers, state, counts. Before the loop. Everything is checked
   * before anything changes.
   *
   * @returns the name of the file; `undefined` where there is none yet
   * @throws OptimError `state-mismatch` for other names, and for schedules or hyperparameters that differ while `options` do not say which hold;
   * `invalid-state`; errors of the store
   */
  resume(options?: ResumeOptions): Promise<string | undefined>;
  /**
   * Runs `work` while no iteration is in progress, after what was asked for before. For messages and sliders: awaited in the body it would wait for
   * itself.
   */
  between<T>(work: () => T | Promise<T>): Promise<T>;
  /** Holds the loop before its next iteration. @throws OptimError `unsupported` with several ranks, which would wait for this one */
  pause(): void;
  unpause(): void;
  /** Other wrappers from now on, such as one with another rule. Between iterations. @throws OptimError `reentrant`, `invalid-wrapper` */
  use(optim: O, schedulers?: RunSchedulers): void;
}

/**
 * A run of a training loop.
 *
 * @example
 * ```ts
 * const run = createRun({ optim, schedulers, until: 1000, state: { batches }, store, saveEvery: 100, log: { to: progressLines() } });
 * await run.resume();
 * for await (const iteration of run) {
 *   run.update(lossOf(batches.next()));
 * }
 * ```
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-wrapper`
 */
export function createRun<const O extends Wrappers>(options: RunOptions<O>): Run<O> {
  return new LiveRun(options) as unknown as Run<O>;
}
