import { refuse } from "@mm/optim-core/backend";
import { aFunction, checkSchema } from "@mm/optim-core/schema";
import { closedForm, commonFields, resolveOptions } from "./define.ts";
import type { Schedule, ScheduleGroup, ScheduleOptions } from "./schedule.ts";

/**
 * A function of your own: `custom((count, value) => value / (1 + count / 1000))`. It may be asked for any count, in any order, so it
 * must depend on its arguments alone. Of the base settings there is no `group`. A state dict cannot hold it: after a resume the function that was given again goes on.
 *
 * `torch.optim.lr_scheduler.LambdaLR`, whose function returns a factor.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function custom(
  at: (count: number, value: number, group?: ScheduleGroup) => number,
  options: ScheduleOptions = {},
  where = "custom",
): Schedule {
  checkSchema("invalid-option", where, at, aFunction);
  const resolved = resolveOptions(options, where, commonFields(), {});
  return closedForm({
    type: "custom",
    options: resolved,
    at,
    with: (saved, place) => custom(at, saved, place),
    inUpdates: (_, place) =>
      refuse(
        "invalid-option",
        place,
        "a schedule whose counts are known: divide the count in your function",
        "custom",
      ),
  });
}
