import { refuse } from "@mm/optim-core/backend";
import { checkSchema, type Fields, integerFrom, isFinite32, oneOf, type Test } from "@mm/optim-core/schema";
import { checkByGroup } from "./by-group.ts";
import type {
  Schedule,
  ScheduleFactory,
  ScheduleGroup,
  ScheduleOptions,
  ScheduleOptionsRecord,
} from "./schedule.ts";

/** A schedule in closed form, for {@link defineSchedule}. */
export interface ScheduleDefinition<O extends ScheduleOptions, D extends Partial<O>> {
  /** The name of the factory: configurations call the schedule so, and state dicts remember it. */
  readonly type: string;
  /** The checks of the options, beside those of all schedules. A key that ends with `?` may be left out. */
  readonly fields: () => Fields["fields"];
  readonly defaults: D;
  /** An option that does not go with the others, and what it should have been. */
  readonly check?: (options: Resolved<O, D>) => readonly [name: string, expected: string] | undefined;
  /** The value after `count` counts from `begin`, at most `length` of them. Groups may differ; the base settings are none. */
  readonly at: (options: Resolved<O, D>) => (count: number, value: number, group?: ScheduleGroup) => number;
  /** After how many counts from `begin` the value stays where it is, if before `length`. Default: never. */
  readonly span?: (options: Resolved<O, D>) => number;
  /** After how many counts from `begin` it turns from rising to falling or back. Default: it does not. */
  readonly turns?: (options: Resolved<O, D>) => readonly number[];
  /** The names of the options that are counts, or lists of counts, beside `begin` and `length`. Default: none. */
  readonly counts?: readonly (keyof O & string)[];
  /** Why it cannot be converted from epochs to updates, as words for what it should be. Default: it can. */
  readonly perCount?: (options: Resolved<O, D>) => string | undefined;
}

/** Options with the defaults filled in. */
type Resolved<O, D> = O & Required<Pick<O, keyof D & keyof O>>;

/**
 * Defines a kind of schedule: options that are checked, and a value in closed form.
 *
 * @example
 * ```ts
 * // value ÷ √(count ÷ timescale), once that is below it.
 * export const inverseSquareRoot: ScheduleFactory<InverseSquareRootOptions> = defineSchedule({
 *   type: "inverseSquareRoot",
 *   fields: () => ({ timescale: integerFrom(1) }),
 *   defaults: {},
 *   at: ({ timescale }) => (count, value) => value / Math.sqrt(Math.max(1, count / timescale)),
 * });
 * ```
 */
export function defineSchedule<O extends ScheduleOptions, const D extends Partial<O>>({
  type,
  fields,
  defaults,
  check,
  at,
  span = () => Infinity,
  turns = () => [],
  counts = [],
  perCount = () => undefined,
}: ScheduleDefinition<O, D>): ScheduleFactory<O> {
  const make: ScheduleFactory<O> = (given, where = type) => {
    const options = resolveOptions(given, where, { ...commonFields(), ...fields() }, defaults, check);
    return closedForm({
      type,
      options,
      at: at(options),
      span: span(options),
      turns: turns(options),
      with: (saved, place) => make(saved as O, place),
      inUpdates(updatesPerEpoch, place) {
        const unit = perCount(options);
        if (unit !== undefined) refuse("invalid-option", place, unit, type);
        return make(optionsInUpdates(options, counts, updatesPerEpoch) as O, place);
      },
    });
  };
  return make;
}

interface ClosedForm extends Pick<Schedule, "type" | "with" | "inUpdates"> {
  readonly options: ScheduleOptionsRecord & ScheduleOptions;
  readonly at: (count: number, value: number, group?: ScheduleGroup) => number;
  readonly span?: number;
  readonly turns?: readonly number[];
}

/** The rule of all schedules in closed form: nothing before `begin`, nothing new after `length`. */
export function closedForm({ at, span = Infinity, turns = [], ...members }: ClosedForm): Schedule {
  const { begin = 0, length = Infinity, by = "update" } = members.options;
  const end = begin + Math.min(length, span);
  const within = turns.map((turn) => begin + turn).filter((count) => count < end);
  return {
    kind: "schedule",
    by,
    ...members,
    at: (count, value, _, group) =>
      count < begin ? value : at(Math.min(count - begin, length), value, group),
    end,
    turns: [begin, ...within, ...(end === Infinity ? [] : [end])],
    start: {},
    observe: (state) => state,
  };
}

/** Options in updates for options in epochs. */
function optionsInUpdates(
  options: ScheduleOptionsRecord,
  counts: readonly string[],
  updatesPerEpoch: number,
): object {
  const entries = Object.entries(options).map(([name, value]) => {
    if (name === "by") return [name, "update"] as const;
    if (![...counts, "begin", "length"].includes(name)) return [name, value] as const;
    return [
      name,
      typeof value === "number"
        ? value * updatesPerEpoch
        : (value as readonly number[]).map((count) => count * updatesPerEpoch),
    ] as const;
  });
  return Object.fromEntries(entries);
}

/** The options of every schedule in closed form. */
export const commonFields = (): Fields["fields"] => ({
  "begin?": integerFrom(0),
  "length?": integerFrom(1),
  "by?": oneOf("update", "epoch"),
});

/** Checks options and fills in defaults. The result is a copy, frozen. */
export function resolveOptions<O extends object, D extends Partial<O>>(
  given: O,
  where: string,
  fields: Fields["fields"],
  defaults: D,
  check?: (options: Resolved<O, D>) => readonly [name: string, expected: string] | undefined,
): Resolved<O, D> & ScheduleOptionsRecord {
  checkSchema("invalid-option", where, given, { fields });
  const options: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (value === undefined) continue;
    checkByGroup(`${where}.${name}`, value);
    options[name] = copied(value);
  }
  const resolved = Object.freeze(options) as Resolved<O, D> & ScheduleOptionsRecord;
  const [name, expected = ""] = check?.(resolved) ?? [];
  if (name !== undefined) refuse("invalid-option", `${where}.${name}`, expected, resolved[name]);
  return resolved;
}

/** A list, or numbers by group, as a frozen copy. */
function copied(value: unknown): unknown {
  if (Array.isArray(value)) return Object.freeze([...(value as unknown[])]);
  return typeof value === "object" ? Object.freeze({ ...value }) : value;
}

export const aFactor: Test = [
  (value: unknown) => isFinite32(value) && value >= 0,
  "a finite number of at least 0",
];
