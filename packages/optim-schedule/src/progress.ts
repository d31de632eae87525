import { refuse } from "@mm/optim-core/backend";
import { type Hyperparameter, hyperparameterAt, type Settings } from "./hyperparameter.ts";
import { requireSchedule } from "./require-schedule.ts";
import type { Schedule, ScheduleCounts, ScheduleGroup, ScheduleState } from "./schedule.ts";

/** The base settings among the groups; the wrapper's own number has no other key. */
export const baseKey: unique symbol = /* @__PURE__ */ Symbol("base settings");
export type GroupKey = string | typeof baseKey;

/** One hyperparameter on its way. */
export interface Track {
  readonly hyperparameter: Hyperparameter;
  readonly schedules: readonly Schedule[];
  /** One per schedule. */
  readonly states: readonly ScheduleState[];
  /** The number that the schedules begin with, in every group that has the hyperparameter. */
  readonly initial: ReadonlyMap<GroupKey, number>;
  /** Of groups that were added when the schedules had begun: where the schedules were then. */
  readonly joined: ReadonlyMap<GroupKey, Joined>;
}

/** How far the schedules of a hyperparameter were when a group came in. */
export interface Joined extends Required<ScheduleCounts> {
  /** One per schedule. */
  readonly states: readonly ScheduleState[];
}

/** All that changes in a scheduler. A new one replaces it: nothing is ever half-changed. */
export interface Progress {
  readonly updates: number;
  readonly epochs: number;
  readonly tracks: readonly Track[];
}

/**
 * The value of a track in one group; `undefined` where the group does not have the hyperparameter.
 *
 * A group that came in later goes on from its own value: by the ratio of now to then, or, where there is none (the schedules were at 0), as if
 * it had been there from the start.
 */
export function valueOf(
  counts: Required<ScheduleCounts>,
  { hyperparameter, schedules, states, initial, joined }: Track,
  key: GroupKey,
  index: number,
): number | undefined {
  const first = initial.get(key);
  if (first === undefined) return undefined;
  const group = typeof key === "string" ? { name: key, index } : undefined;
  const now = chain(schedules, { ...counts, states }, first, group);
  const joint = joined.get(key);
  const then = joint ? chain(schedules, joint, first, group) : 0;
  return hyperparameter.round(then !== 0 && Number.isFinite(then) ? first * (now / then) : now);
}

function chain(
  schedules: readonly Schedule[],
  { updates, epochs, states }: Joined,
  first: number,
  group: ScheduleGroup | undefined,
): number {
  return schedules.reduce(
    (value, { by, at }, index) => at(by === "epoch" ? epochs : updates, value, states[index], group),
    first,
  );
}

/**
 * Reads `{ lr: schedule, "betas[1]": [schedule, schedule] }` for these groups.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function readPlan(where: string, plan: unknown, groups: readonly Settings[]): readonly Track[] {
  const isSchedule = (plan as Partial<Schedule> | null | undefined)?.kind === "schedule";
  if (isSchedule || Object.prototype.toString.call(plan) !== "[object Object]") {
    refuse("invalid-option", where, "schedules by hyperparameter, { lr: schedule }", plan);
  }
  const tracks: Track[] = [];
  for (const [path, given] of Object.entries(plan as { readonly [path: string]: Given })) {
    if (given === undefined) continue;
    const hyperparameter = hyperparameterAt(where, path, groups);
    requireAnother(`${where}.${path}`, hyperparameter, tracks, groups);
    const schedules = readSchedules(`${where}.${path}`, given);
    tracks.push({
      hyperparameter,
      schedules,
      states: schedules.map(({ start }) => start),
      initial: new Map(),
      joined: new Map(),
    });
  }
  return tracks;
}

type Given = Schedule | readonly Schedule[] | undefined;

/** Two paths may lead to one number: `momentum` and `betas[0]`. */
function requireAnother(
  where: string,
  hyperparameter: Hyperparameter,
  tracks: readonly Track[],
  groups: readonly Settings[],
): void {
  const isSame = (other: Hyperparameter): boolean =>
    groups.some((settings) => {
      const key = hyperparameter.keyIn(settings);
      return key !== undefined && key === other.keyIn(settings);
    });
  const other = tracks.find((track) => isSame(track.hyperparameter));
  if (other === undefined) return;
  refuse(
    "invalid-option",
    where,
    `another hyperparameter than ${other.hyperparameter.path}`,
    hyperparameter.path,
  );
}

function readSchedules(where: string, given: Schedule | readonly Schedule[]): readonly Schedule[] {
  const schedules = [given].flat();
  for (const [index, schedule] of schedules.entries()) {
    requireSchedule(Array.isArray(given) ? `${where}[${index}]` : where, schedule);
  }
  if (schedules.length === 0) refuse("invalid-option", where, "at least one schedule", given);
  return schedules;
}
