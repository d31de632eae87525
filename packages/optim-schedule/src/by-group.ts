import { aFinite, checkSchema, isFinite32, type Test } from "@mm/optim-core/schema";
import type { NestedSchedule, ScheduleGroup, ScheduleOptionsRecord } from "./schedule.ts";

/** A number for each group, by its name. */
export type ByGroup = { readonly [group: string]: number };

const isByGroup = (value: unknown): boolean => Object.prototype.toString.call(value) === "[object Object]";

/** One number, or one for each group: {@link checkByGroup} looks at those. */
export const finiteByGroup: Test = [
  (value: unknown) => isFinite32(value) || isByGroup(value),
  "a finite number, or finite numbers by group",
];

/** Checks the numbers of an option that has one for each group. @throws OptimError `invalid-option`, with the group's name */
export function checkByGroup(where: string, value: unknown): void {
  if (isByGroup(value)) checkSchema("invalid-option", where, value, { each: aFinite });
}

/** The number of a group; `others` where the option does not name it, and for the base settings. */
export function ofGroup(given: number | ByGroup, group: ScheduleGroup | undefined, others: number): number {
  if (typeof given === "number") return given;
  return group !== undefined && Object.hasOwn(given, group.name) ? (given[group.name] as number) : others;
}

/** The names of groups in the options of a schedule, with the option that they stand in. */
export function groupsNamedIn(
  options: ScheduleOptionsRecord,
): readonly (readonly [option: string, group: string])[] {
  return Object.entries(options).flatMap(([option, value]) => {
    if (Array.isArray(value)) {
      return (value as readonly (number | NestedSchedule)[]).flatMap((one, index) =>
        typeof one === "number"
          ? []
          : groupsNamedIn(one.options).map(
              ([inner, group]) => [`${option}[${index}].${inner}`, group] as const,
            ),
      );
    }
    return typeof value === "object" ? Object.keys(value).map((group) => [option, group] as const) : [];
  });
}
