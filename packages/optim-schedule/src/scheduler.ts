import type { BaseHyperparameters, OptimWrapper } from "@mm/optim-core";
import type { HyperparameterPath, WrapperPath } from "./hyperparameter.ts";
import type { Schedule, ScheduleCounts } from "./schedule.ts";
import type {
  PreparedSchedulerLoad,
  SchedulerLoadOptions,
  SchedulerLoadReport,
  SchedulerStateDict,
} from "./state.ts";

/**
 * Which hyperparameter follows which schedule: `{ lr: cosine({ length: 1000 }) }`. Of several in a list, each takes what the one before
 * it made: `{ lr: [linear({ startFactor: 0.1, length: 10 }), cosine({ begin: 10, length: 990 })] }` is a warm-up and a cosine.
 *
 * Where groups have rules of their own, a plan may name what any of them has: each group is driven by what its rule has.
 *
 * `accumulativeCounts` is the wrapper's own, and whole: what schedules make of it is rounded, to 1 at least. Counts move after an update, so it
 * changes between two windows; the first after a change may be short, as windows end at multiples.
 *
 * Of a rule that is not known by its type (`AnyOptimWrapper`), any path compiles, and is checked when the scheduler is made.
 */
export type SchedulePlan<H = BaseHyperparameters> = {
  readonly [P in BaseHyperparameters extends H ? string : HyperparameterPath<H> | WrapperPath]?:
    Schedule | readonly Schedule[];
};

/** The hyperparameters of a wrapper's rules: a union where groups have rules of their own. */
export type HyperparametersOf<W> =
  W extends OptimWrapper<never, unknown, BaseHyperparameters, infer R> ? R : never;

export interface SchedulerOptions {
  /**
   * Whether hyperparameters may be taken from a scheduler that is still under way; that one leaves them alone from then on, and goes on with
   * its others. Default `false`: it is an error.
   */
  readonly replace?: boolean;
  /** The name that messages begin with. Default: that of the function. */
  readonly where?: string;
}

/**
 * Drives hyperparameters of one wrapper: it writes them into all its groups that have them, and into its base settings, when it is made and
 * whenever a count changes. Between two counts they may be assigned by hand; the next count overwrites that. Only values that changed are
 * assigned.
 *
 * One scheduler at a time drives a hyperparameter. It is over when all its schedules are past their length, or at `dispose()`. The next one
 * begins with the values that this one began with (PyTorch's `initial_lr`), unless a group holds another value than was written last: then
 * with that.
 *
 * A group that is added under schedules goes on from its own value v: v × at(n, v) ÷ at(c, v) at the count n, where c is the count of the
 * scheduler when it first moved with the group; at(n, v) where at(c, v) is 0 or not finite. c is saved.
 */
export interface Scheduler {
  readonly kind: "scheduler";
  /** Enqueued updates that were counted. */
  readonly updates: number;
  readonly epochs: number;
  /**
   * Counts an update: `scheduler.step(wrapper.updateParams(loss))`. A call that did not complete a window (`updated: false`) is not one. A
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
  /** The values at any count, by hyperparameter, one entry per group (NaN where a group has none). A schedule that listens has the state of now. */
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
  /**
   * Checks everything that `loadStateDict` would, and changes nothing.
   *
   * @throws OptimError as `loadStateDict`
   */
  prepareLoad(state: SchedulerStateDict, options?: SchedulerLoadOptions): PreparedSchedulerLoad;
  /** Ends it: the values stay as they are, and another scheduler may take over. Later calls that would write throw `disposed`. */
  dispose(): void;
}
