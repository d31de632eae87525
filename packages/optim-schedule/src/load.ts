import { isOptimError, OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { checkSchema } from "@mm/optim-core/schema";
import { isOfWrapper } from "./hyperparameter.ts";
import { baseKey, type GroupKey, type Progress, type Track } from "./progress.ts";
import type { Schedule, ScheduleState } from "./schedule.ts";
import {
  loadOptionsSchema,
  type SavedHyperparameter,
  type SavedSchedule,
  type SchedulerLoadOptions,
  type SchedulerLoadReport,
  type SchedulerStateDict,
  schedulerStateSchema,
} from "./state.ts";

export function toStateDict({ updates, epochs, tracks }: Progress): SchedulerStateDict {
  const hyperparameters = tracks.map(({ hyperparameter, schedules, states, initial, joined }) => {
    const baseInitial = initial.get(baseKey);
    const saved: SavedHyperparameter = {
      schedules: schedules.map(({ type, options }, index) => ({
        type,
        options,
        state: states[index] as ScheduleState,
      })),
      initial: byGroup(initial),
      ...(baseInitial !== undefined && { baseInitial }),
      ...(joined.size > 0 && { joined: byGroup(joined) }),
    };
    return [hyperparameter.path, saved] as const;
  });
  return {
    format: "optim-scheduler",
    version: 1,
    updates,
    epochs,
    hyperparameters: Object.fromEntries(hyperparameters),
  };
}

const byGroup = <T>(map: ReadonlyMap<GroupKey, T>): { readonly [group: string]: T } =>
  Object.fromEntries([...map].filter((entry): entry is [string, T] => entry[0] !== baseKey));

/** A state that was found to fit. */
export interface StagedLoad {
  readonly next: Progress;
  readonly report: SchedulerLoadReport;
}

/** @throws OptimError `invalid-option`, `unknown-option`, `invalid-state`, `state-mismatch` */
export function stageLoad(
  current: Progress,
  state: SchedulerStateDict,
  options: SchedulerLoadOptions,
  where: string,
): StagedLoad {
  checkSchema("invalid-option", "loadStateDict", options, loadOptionsSchema());
  checkSchema("invalid-state", where, state, schedulerStateSchema());
  const { strict = true, restore = {} } = options;
  const { updates, epochs, hyperparameters } = state;
  const schedules = new Differences();
  const groups = new Differences();
  const saved = new Map(Object.entries(hyperparameters));

  const tracks = current.tracks.map((track): Track => {
    const { path } = track.hyperparameter;
    const old = saved.get(path);
    saved.delete(path);
    if (old === undefined) {
      schedules.missing.push(path);
      return track;
    }
    const place = `${where}.hyperparameters.${path}.schedules`;
    const loaded = matchSchedules(path, track.schedules, old.schedules, schedules).map(
      ([schedule, its], index) => loadSchedule(schedule, its, restore.schedules, `${place}[${index}]`),
    );
    const next = {
      ...track,
      schedules: loaded.map(([schedule]) => schedule),
      states: loaded.map(([, of]) => of),
    };
    return restore.initial === false ? next : { ...next, ...matchGroups(next, old, groups) };
  });
  schedules.unexpected.push(...saved.keys());

  // Where the schedules of now are wanted, it is no fault that others were saved.
  const faults = restore.schedules === false ? [groups] : [schedules, groups];
  const all = (of: "missing" | "unexpected" | "mismatched"): readonly string[] =>
    faults.flatMap((found) => found[of]);
  const [missing, unexpected, mismatched] = [all("missing"), all("unexpected"), all("mismatched")];
  if (strict && missing.length + unexpected.length + mismatched.length > 0) {
    refuse(
      "state-mismatch",
      where,
      "the hyperparameters, schedules and groups of this scheduler",
      [...missing.map((name) => `no ${name}`), ...unexpected, ...mismatched].join(", "),
      {
        hint: "restore: { schedules: false } takes the schedules of now; strict: false, what fits",
        missing,
        unexpected,
        mismatched,
      },
    );
  }
  return {
    next: { updates, epochs, tracks },
    report: {
      missing: [...schedules.missing, ...groups.missing],
      unexpected: [...schedules.unexpected, ...groups.unexpected],
      changed: [...schedules.changed, ...groups.changed],
    },
  };
}

class Differences {
  readonly missing: string[] = [];
  readonly unexpected: string[] = [];
  readonly mismatched: string[] = [];
  readonly changed: string[] = [];
}

/** Every schedule with what was saved of it, if it was one of the same kind at the same place. */
function matchSchedules(
  path: string,
  schedules: readonly Schedule[],
  saved: readonly SavedSchedule[],
  found: Differences,
): readonly (readonly [Schedule, SavedSchedule | undefined])[] {
  const name = (index: number): string => `${path}[${index}]`;
  found.unexpected.push(...saved.slice(schedules.length).map((_, index) => name(schedules.length + index)));
  return schedules.map((schedule, index) => {
    const old = saved[index];
    if (old === undefined) {
      found.missing.push(name(index));
    } else if (old.type === schedule.type) {
      const options = new Set([...Object.keys(old.options), ...Object.keys(schedule.options)]);
      const differs = (option: string): boolean =>
        JSON.stringify(old.options[option]) !== JSON.stringify(schedule.options[option]);
      found.changed.push(...[...options].filter(differs).map((option) => `${name(index)}.${option}`));
      return [schedule, old];
    } else {
      found.changed.push(name(index));
      found.mismatched.push(`${name(index)} ${old.type} instead of ${schedule.type}`);
    }
    return [schedule, undefined];
  });
}

function loadSchedule(
  schedule: Schedule,
  saved: SavedSchedule | undefined,
  asSaved = true,
  where: string,
): readonly [Schedule, ScheduleState] {
  if (saved === undefined) return [schedule, schedule.start];
  return [asSaved ? recreate(schedule, saved, where) : schedule, loadState(schedule, saved.state)];
}

/** Of a saved state, what this schedule remembers. */
const loadState = ({ start }: Schedule, saved: ScheduleState = start): ScheduleState =>
  Object.fromEntries(Object.keys(start).map((name) => [name, saved[name] ?? null]));

function recreate(schedule: Schedule, { options }: SavedSchedule, where: string): Schedule {
  try {
    return schedule.with(options, `${where}.options`);
  } catch (cause) {
    if (!isOptimError(cause)) throw cause;
    throw new OptimError("invalid-state", cause.message, { cause });
  }
}

/** The initial values that were saved, and where groups joined. Groups that were not saved have those of now. */
function matchGroups(
  { hyperparameter: { path }, schedules, initial, joined: current }: Track,
  { initial: saved, baseInitial, joined = {} }: SavedHyperparameter,
  found: Differences,
): Pick<Track, "initial" | "joined"> {
  const values = new Map<GroupKey, number>(Object.entries(saved));
  if (baseInitial !== undefined) values.set(baseKey, baseInitial);
  const nameOf = (key: GroupKey): string =>
    isOfWrapper(path)
      ? path
      : `${path} of ${typeof key === "string" ? `group "${key}"` : "the base settings"}`;
  const without = (keys: Iterable<GroupKey>, others: ReadonlyMap<GroupKey, number>): readonly string[] =>
    [...keys].filter((key) => !others.has(key)).map(nameOf);
  found.missing.push(...without(initial.keys(), values));
  found.unexpected.push(...without(values.keys(), initial));
  const differs = ([key, value]: readonly [GroupKey, number]): boolean =>
    initial.has(key) && initial.get(key) !== value;
  found.changed.push(...[...values].filter(differs).map(([key]) => nameOf(key)));
  const places = new Map([...current].filter(([key]) => !values.has(key)));
  for (const [group, { updates, epochs, states }] of Object.entries(joined)) {
    if (!initial.has(group)) continue;
    const then = schedules.map((schedule, index) => loadState(schedule, states[index]));
    places.set(group, { updates, epochs, states: then });
  }
  return {
    initial: new Map([...initial].map(([key, value]) => [key, values.get(key) ?? value])),
    joined: places,
  };
}
