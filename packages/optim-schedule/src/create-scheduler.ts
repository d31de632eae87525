import type { BaseHyperparameters, OptimWrapper } from "@mm/optim-core";
import { LiveScheduler } from "./live-scheduler.ts";
import { readOptions } from "./options.ts";
import type { SchedulePlan, Scheduler, SchedulerOptions } from "./scheduler.ts";

/**
 * Puts schedules on a wrapper. Its groups' values of now are those that the schedules begin with, so make it before a state is loaded. Where
 * a group still holds what an earlier scheduler wrote, they begin with what that one began with.
 *
 * @throws OptimError `unknown-option` for a hyperparameter that the rule does not have, `invalid-option` (for one that another
 * scheduler drives, too), `invalid-wrapper`, `invalid-hyperparameter` for a value that the rule refuses now, or at a
 * count at which a schedule begins, turns or ends; nothing has changed then
 */
export function createScheduler<H extends BaseHyperparameters>(
  wrapper: OptimWrapper<never, unknown, H>,
  plan: NoInfer<SchedulePlan<H>>,
  options: SchedulerOptions = {},
): Scheduler {
  const scheduler = new LiveScheduler(wrapper, plan, readOptions(options, "createScheduler"));
  scheduler.tryTurns();
  scheduler.apply();
  return scheduler;
}
