/** Plain data, as given to a factory, with defaults filled in. */
export type ScheduleOptionsRecord = {
  readonly [name: string]:
    | number
    | string
    | boolean
    | readonly number[]
    /** By group. */
    | { readonly [group: string]: number }
    /** The schedules that this one is made of. */
    | readonly NestedSchedule[];
};

export interface NestedSchedule {
  readonly type: string;
  readonly options: ScheduleOptionsRecord;
}

/** The group whose value is asked for: its name, and its place among the groups of its wrapper. */
export interface ScheduleGroup {
  readonly name: string;
  readonly index: number;
}

/** The memory of a schedule of the measures that it was told. Empty for those that listen to none. */
export type ScheduleState = { readonly [name: string]: number | null };

/** Options of every schedule. A count is an enqueued update, or an epoch with `by: "epoch"`. */
export interface ScheduleOptions {
  /** The count at which it begins; before it, the value passes through unchanged. Default 0. */
  readonly begin?: number;
  /** After so many counts from `begin` the value stays where it is. Default: it never does, unless a schedule says otherwise. */
  readonly length?: number;
  /** The unit of counts. Default `"update"`. */
  readonly by?: "update" | "epoch";
}

/**
 * How one hyperparameter changes: a pure function of a count and of the value that would hold without it. Immutable, and bound to no
 * wrapper, so any number of schedulers may share one. Made by {@link ScheduleFactory | factories}: `cosine({ length: 1000 })`.
 */
export interface Schedule {
  readonly kind: "schedule";
  /** The name of its factory: `"cosine"`. */
  readonly type: string;
  readonly by: "update" | "epoch";
  /** The options, defaults filled in, plain data: a state dict holds them. Frozen. */
  readonly options: ScheduleOptionsRecord;
  /**
   * The value after `count` counts. In closed form: any count can be asked for, in any order, at the same cost.
   *
   * @param value the group's initial value, or what the schedule before this one in a list made of it
   * @param state default: that of the start
   * @param group default: none, as for the base settings
   */
  readonly at: (count: number, value: number, state?: ScheduleState, group?: ScheduleGroup) => number;
  /** The count from which its value stays where it is; Infinity where it never does. */
  readonly end: number;
  /**
   * The counts at which it begins, ends (where it does) and turns from rising to falling: no value lies outside those at these counts. A
   * scheduler tries them on the rule when it is made.
   */
  readonly turns: readonly number[];
  /** Where it starts. */
  readonly start: ScheduleState;
  /** The next state, when a measure came in. Only {@link reduceOnPlateau} listens. */
  readonly observe: (state: ScheduleState, measure: number) => ScheduleState;
  /** The same kind of schedule with other options, as a state dict holds them. @throws OptimError as its factory */
  readonly with: (options: object, where?: string) => Schedule;
  /** The same in updates, of which there are so many in an epoch: {@link byEpoch}. */
  readonly inUpdates: (updatesPerEpoch: number, where: string) => Schedule;
}

/**
 * Makes a schedule. Wrong options are refused here, with their place: `cosine.length`, or with `where` `optim.lr[0].length`.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export type ScheduleFactory<O extends object> = (options: O, where?: string) => Schedule;

/** How far a run is. */
export interface ScheduleCounts {
  readonly updates: number;
  /** Default 0. */
  readonly epochs?: number;
}

/**
 * The value after several schedules, each of which takes the result of the one before it.
 *
 * @example
 * ```ts
 * valueAt([linear({ startFactor: 0.1, length: 10 }), cosine({ begin: 10, length: 90 })], { updates: 55 }, 0.1); // 0.05
 * ```
 */
export function valueAt(
  schedules: Schedule | readonly Schedule[],
  { updates, epochs = 0 }: ScheduleCounts,
  value: number,
  group?: ScheduleGroup,
): number {
  return [schedules]
    .flat()
    .reduce((before, { by, at }) => at(by === "epoch" ? epochs : updates, before, undefined, group), value);
}
