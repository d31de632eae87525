import { refuse } from "@mm/optim-core/backend";
import type { Hyperparameter } from "./hyperparameter.ts";
import type { Schedule, ScheduleState } from "./schedule.ts";

/** The base settings among the groups. */
export const baseKey: unique symbol = /* @__PURE__ */ Symbol("base settings");
export type GroupKey = string | typeof baseKey;

/** One hyperparameter on its way. */
export interface Track {
  readonly hyperparameter: Hyperparameter;
  readonly schedules: readonly Schedule[];
  /** One per schedule. */
  readonly states: readonly ScheduleState[];
  /** What the schedules begin with. */
  readonly initial: ReadonlyMap<GroupKey, number>;
}

/** All that changes in a scheduler. A new one replaces it: nothing is ever half-changed. */
export interface Progress {
  readonly updates: number;
  readonly epochs: number;
  readonly tracks: readonly Track[];
}

/** What a track comes to in one group. */
export function valueOf(
  { updates, epochs }: Pick<Progress, "updates" | "epochs">,
  { schedules, states, initial }: Track,
  group: GroupKey,
): number {
  return schedules.reduce(
    (value, { by, at }, index) => at(by === "epoch" ? epochs : updates, value, states[index]),
    initial.get(group) as number,
  );
}

/** Reads `{ lr: schedule, "betas[1]": [schedule, schedule] }`. @throws OptimError `invalid-option`, `unknown-option` */
export function readPlan(
  where: string,
  plan: unknown,
  at: (path: string) => Hyperparameter,
): readonly Track[] {
  if (Object.prototype.toString.call(plan) !== "[object Object]") {
    refuse("invalid-option", where, "schedules by hyperparameter", plan);
  }
  const tracks = new Map<string, Track>();
  type Given = Schedule | readonly Schedule[] | undefined;
  for (const [path, given] of Object.entries(plan as { readonly [path: string]: Given })) {
    if (given === undefined) continue;
    const hyperparameter = at(path);
    const other = tracks.get(hyperparameter.key);
    if (other) {
      const expected = `another hyperparameter than ${other.hyperparameter.path}`;
      refuse("invalid-option", `${where}.${path}`, expected, path);
    }
    const schedules = [given].flat();
    for (const [index, schedule] of schedules.entries()) {
      if ((schedule as Partial<Schedule> | null | undefined)?.kind !== "schedule") {
        const place = Array.isArray(given) ? `${path}[${index}]` : path;
        refuse(
          "invalid-option",
          `${where}.${place}`,
          "a schedule such as cosine({ length: 1000 })",
          schedule,
        );
      }
    }
    if (schedules.length === 0) refuse("invalid-option", `${where}.${path}`, "at least one schedule", given);
    tracks.set(hyperparameter.key, {
      hyperparameter,
      schedules,
      states: schedules.map(({ start }) => start),
      initial: new Map(),
    });
  }
  return [...tracks.values()];
}
