import {
  aBoolean,
  aFinite,
  anything,
  aString,
  integerFrom,
  oneOf,
  type Schema,
  type Test,
} from "@mm/optim-core/schema";
import type { ScheduleOptionsRecord, ScheduleState } from "./schedule.ts";

/** The state of one schedule. */
export interface SavedSchedule {
  readonly type: string;
  readonly options: ScheduleOptionsRecord;
  readonly state: ScheduleState;
}

/** The state of one hyperparameter. */
export interface SavedHyperparameter {
  readonly schedules: readonly SavedSchedule[];
  /** By group: the value that the schedules begin with. */
  readonly initial: { readonly [group: string]: number };
  /** That of the base settings, with several groups; that of `accumulativeCounts`, which has no groups. */
  readonly baseInitial?: number;
  /** Of groups that were added under the schedules: where these were at the first move that saw the group. */
  readonly joined?: { readonly [group: string]: SavedJoining };
}

/** The state of a group that was added under schedules. */
export interface SavedJoining {
  readonly updates: number;
  readonly epochs: number;
  /** One per schedule. */
  readonly states: readonly ScheduleState[];
}

/** The state of a scheduler: plain data that JSON can hold, nothing shared with the scheduler. No functions. */
export interface SchedulerStateDict {
  readonly format: "optim-scheduler";
  readonly version: 1;
  readonly updates: number;
  readonly epochs: number;
  readonly hyperparameters: { readonly [path: string]: SavedHyperparameter };
}

/** The state of several schedulers: one state per name. */
export interface SchedulerDictStateDict<Name extends string = string> {
  readonly format: "optim-scheduler-dict";
  readonly version: 1;
  readonly schedulers: { readonly [K in Name]: SchedulerStateDict };
}

export interface SchedulerLoadOptions {
  /**
   * `true` (default): what is saved must be of the same hyperparameters, kinds of schedules and groups, or an error lists what is not,
   * and nothing changes. `false`: what fits is loaded, and the report lists the rest.
   */
  readonly strict?: boolean;
  readonly restore?: {
    /**
     * `true` (default): the options of the schedules as they were saved, so that a run goes on as if it had never stopped. `false`: the
     * schedules as they are now, from the count that was saved; their kinds need not be those of before.
     */
    readonly schedules?: boolean;
    /** The values that schedules begin with, as saved (default) or as they are now: `false` to take a new learning rate. */
    readonly initial?: boolean;
  };
}

/** Names are `"lr"` for a hyperparameter, `"lr[0]"` for its first schedule, `lr of group "0"`, `"lr[0].length"`. */
export interface SchedulerLoadReport {
  /** Here, not in the state. */
  readonly missing: readonly string[];
  /** In the state, not here. */
  readonly unexpected: readonly string[];
  /**
   * Options, and kinds, of schedules that differ between the state and what was given, and values that schedules begin with (`lr of group "0"`).
   * `restore` says which hold now. With `initial: false` the state's values are not looked at.
   */
  readonly changed: readonly string[];
}

/** A load that was found to fit: its report, before anything has changed. */
export interface PreparedSchedulerLoad {
  readonly report: SchedulerLoadReport;
  /** Takes the state. Steps since `prepareLoad` are gone. */
  commit(): SchedulerLoadReport;
}

export const schedulerStateSchema = (): Schema => ({
  fields: {
    format: oneOf("optim-scheduler"),
    version: oneOf(1),
    updates: integerFrom(0),
    epochs: integerFrom(0),
    hyperparameters: {
      each: {
        fields: {
          schedules: {
            items: { fields: { type: aString, options: { each: anything }, state: aState() } },
          },
          initial: { each: aFinite },
          "baseInitial?": aFinite,
          "joined?": {
            each: {
              fields: { updates: integerFrom(0), epochs: integerFrom(0), states: { items: aState() } },
            },
          },
        },
      },
    },
  },
});

const aState = (): Schema => ({ each: aNumberOrNull });

const aNumberOrNull: Test = [
  (value: unknown) => value === null || Number.isFinite(value),
  "a finite number or null",
];

export const loadOptionsSchema = (): Schema => ({
  fields: {
    "strict?": aBoolean,
    "restore?": { fields: { "schedules?": aBoolean, "initial?": aBoolean } },
  },
});
