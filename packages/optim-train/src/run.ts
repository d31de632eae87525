import type { AnyOptimWrapper, OptimWrapper } from "@mm/optim-core";
import { LiveRun } from "./live-run.ts";
import type { Metrics, RunProgress } from "./metrics/metrics.ts";
import type { ResumeOptions, RunOptions, UpdateOptions } from "./run-options.ts";
import type { RunSchedulers } from "./schedulers.ts";
import type { Wrappers } from "./wrappers.ts";

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
