import type { BaseHyperparameters, OptimWrapper } from "@mm/optim-core";
import type { HyperparameterPath } from "./hyperparameter.ts";
import type { Schedule, ScheduleCounts } from "./schedule.ts";
import type { SchedulerLoadOptions, SchedulerLoadReport, SchedulerStateDict } from "./state.ts";

/**
 * Which hyperparameter follows which schedule: `{ lr: cosine({ length: 1000 }) }`. Of several in a list, each takes what the one before
 * it made: `{ lr: [linear({ startFactor: 0.1, length: 10 }), cosine({ begin: 10, length: 990 })] }` is a warm-up and a cosine.
 *
 * Of a rule that is not known by its type (`AnyOptimWrapper`), any path compiles, and is checked when the scheduler is made.
 */
export type SchedulePlan<H = BaseHyperparameters> = {
  readonly [P in BaseHyperparameters extends H ? string : HyperparameterPath<H>]?:
    Schedule | readonly Schedule[];
};

/** The hyperparameters of a wrapper's rule. */
export type HyperparametersOf<W> = W extends OptimWrapper<never, unknown, infer H> ? H : never;

/**
 * Drives hyperparameters of one wrapper: it writes them into all its groups, and into its base settings, when it is made and whenever
 * a count changes. Between two counts they may be assigned by hand; the next count overwrites that, as a second scheduler of the same
 * hyperparameter would. Only values that changed are assigned.
 */
export interface Scheduler {
  readonly kind: "scheduler";
  /** Enqueued updates that were counted. */
  readonly updates: number;
  readonly epochs: number;
  /**
   * Counts an update: `scheduler.step(wrapper.updateParams(loss))`. What did not complete a window (`updated: false`) is not one. A
   * step that the device skipped counts; nobody knows of it without waiting (see `rewind`).
   */
  step(result: { readonly updated: boolean }): void;
  /** Counts an epoch, for schedules with `by: "epoch"`. */
  stepEpoch(): void;
  /** Tells a measure to the schedules that listen ({@link reduceOnPlateau}). */
  observe(measure: number): void;
  /**
   * Takes updates back: of those who read metrics, the steps that the device skipped since they last asked.
   *
   * @throws OptimError `invalid-option` for more than were counted
   */
  rewind(skipped: number): void;
  /** Writes the values again: after a load of the wrapper, or for a group that was added. */
  apply(): void;
  /** What the values are at any count, by hyperparameter, one entry per group. A schedule that listens has the state of now. */
  at(counts: ScheduleCounts): { readonly [path: string]: readonly number[] };
  /** A copy. Does not wait for anything. */
  stateDict(): SchedulerStateDict;
  /**
   * Takes a state and writes the values that follow from it. Load the wrapper first, or call `apply()` after it: a load of the wrapper
   * writes hyperparameters too.
   *
   * @throws OptimError `invalid-state`, `state-mismatch`, `invalid-option`, `invalid-hyperparameter`; nothing has changed then
   */
  loadStateDict(state: SchedulerStateDict, options?: SchedulerLoadOptions): SchedulerLoadReport;
}
