import { refuse } from "@mm/optim-core/backend";
import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import { closedForm } from "./define.ts";
import { requireSchedule } from "./require-schedule.ts";
import type { NestedSchedule, Schedule } from "./schedule.ts";

export interface SequenceOptions {
  /** In closed form, and all by update or all by epoch. */
  readonly schedules: readonly Schedule[];
  /** The counts at which the second begins, the third, and so on: one less than there are schedules, rising. */
  readonly milestones: readonly number[];
  /** The count at which the first begins. Milestones count from there. Default 0. */
  readonly begin?: number;
}

/**
 * One schedule after the other. Each begins anew, with the group's own value and a count of 0, at its milestone: it does not take what the one before
 * it made, as the schedules of a list do.
 *
 * `torch.optim.lr_scheduler.SequentialLR`; `join_schedules` of Optax.
 *
 * @example
 * ```ts
 * sequence([linear({ startFactor: 0.1, length: 10 }), cosine({ length: 90 })], [10]);
 * ```
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function sequence(schedules: readonly Schedule[], milestones: readonly number[]): Schedule;
export function sequence(options: SequenceOptions, where?: string): Schedule;
export function sequence(
  given: SequenceOptions | readonly Schedule[],
  second?: readonly number[] | string,
): Schedule {
  const isList = Array.isArray as (value: unknown) => value is readonly Schedule[];
  return isList(given)
    ? make({ schedules: given, milestones: second as readonly number[] }, "sequence")
    : make(given, (second as string | undefined) ?? "sequence");
}

function make(given: SequenceOptions, where: string): Schedule {
  checkSequence(given, where);
  const { schedules, milestones, begin } = given;
  const [{ by }] = schedules as readonly [Schedule];
  const nested = schedules.map(({ type, options }): NestedSchedule => Object.freeze({ type, options }));
  const starts = [0, ...milestones];
  const last = schedules.length - 1;
  const ends = (schedules.at(-1) as Schedule).end + (starts.at(-1) as number);
  return closedForm({
    type: "sequence",
    options: Object.freeze({
      schedules: Object.freeze(nested),
      milestones: Object.freeze([...milestones]),
      ...(begin !== undefined && { begin }),
      ...(by === "epoch" && { by }),
    }),
    at(count, value, group) {
      let index = last;
      while (count < (starts[index] as number)) index -= 1;
      return (schedules[index] as Schedule).at(count - (starts[index] as number), value, undefined, group);
    },
    span: ends,
    // Each part's own, and the count before the next part takes over.
    turns: schedules.flatMap(({ turns }, index) => {
      const start = starts[index] as number;
      const next = starts[index + 1] ?? Infinity;
      const own = [0, ...turns].map((turn) => start + turn).filter((turn) => turn < next);
      return index < last ? [...own, next - 1] : own;
    }),
    with: (saved, place = where) => make(recreated(saved, schedules, place), place),
    inUpdates: (updatesPerEpoch, place) =>
      make(
        {
          schedules: schedules.map((one, index) =>
            one.inUpdates(updatesPerEpoch, `${place}.schedules[${index}]`),
          ),
          milestones: milestones.map((milestone) => milestone * updatesPerEpoch),
          ...(begin !== undefined && { begin: begin * updatesPerEpoch }),
        },
        place,
      ),
  });
}

function checkSequence(given: SequenceOptions, where: string): void {
  const anySchedule = [() => true, "a schedule"] as const;
  checkSchema("invalid-option", where, given, {
    fields: {
      schedules: { items: anySchedule },
      milestones: { items: integerFrom(1) },
      "begin?": integerFrom(0),
    },
  });
  const { schedules, milestones } = given;
  if (schedules.length === 0)
    refuse("invalid-option", `${where}.schedules`, "at least one schedule", schedules);
  for (const [index, schedule] of schedules.entries()) {
    const place = `${where}.schedules[${index}]`;
    requireSchedule(place, schedule);
    if (Object.keys(schedule.start).length > 0) {
      refuse(
        "invalid-option",
        place,
        "a schedule in closed form, which listens to no measures",
        schedule.type,
      );
    }
    const [{ by }] = schedules as readonly [Schedule];
    if (schedule.by !== by) refuse("invalid-option", `${place}.by`, `"${by}", as the first has`, schedule.by);
  }
  const isRising = milestones.every((milestone, index) => milestone > (milestones[index - 1] ?? 0));
  if (milestones.length !== schedules.length - 1 || !isRising) {
    const expected = `${schedules.length - 1} counts, rising: one for each schedule but the first`;
    refuse("invalid-option", `${where}.milestones`, expected, milestones);
  }
}

/** The options of a state dict, with schedules of the kinds that are there now. */
function recreated(saved: object, schedules: readonly Schedule[], where: string): SequenceOptions {
  const {
    by: _,
    schedules: nested,
    ...rest
  } = saved as { readonly by?: unknown; readonly schedules?: unknown };
  const list = Array.isArray(nested) ? (nested as readonly Partial<NestedSchedule>[]) : [];
  const kinds = list.map((one) => Object(one) as Partial<NestedSchedule>);
  if (kinds.length !== schedules.length || kinds.some(({ type }, index) => type !== schedules[index]?.type)) {
    refuse("invalid-option", `${where}.schedules`, schedules.map(({ type }) => type).join(", "), nested);
  }
  return {
    ...(rest as Omit<SequenceOptions, "schedules">),
    schedules: schedules.map((schedule, index) =>
      schedule.with(kinds[index]?.options ?? {}, `${where}.schedules[${index}].options`),
    ),
  };
}
