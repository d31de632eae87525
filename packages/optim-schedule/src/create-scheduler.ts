import type { BaseHyperparameters, OptimWrapper } from "@mm/optim-core";
import { LiveScheduler } from "./live-scheduler.ts";
import type { SchedulePlan, Scheduler } from "./scheduler.ts";

/**
 * Puts schedules on a wrapper. Its groups' values of now are those that the schedules begin with, so make it before a state is loaded.
 *
 * @param where what messages call the plan
 * @throws OptimError `unknown-option` for a hyperparameter that the rule does not have, `invalid-option`, `invalid-wrapper`,
 * `invalid-hyperparameter` for a value that the rule refuses; nothing has changed then
 */
export function createScheduler<H extends BaseHyperparameters>(
  wrapper: OptimWrapper<never, unknown, H>,
  plan: NoInfer<SchedulePlan<H>>,
  where = "createScheduler",
): Scheduler {
  const scheduler = new LiveScheduler(wrapper, plan, where);
  scheduler.apply();
  return scheduler;
}
