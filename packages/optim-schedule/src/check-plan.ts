import type { BaseHyperparameters } from "@mm/optim-core";
import { readPlan } from "./progress.ts";
import type { SchedulePlan } from "./scheduler.ts";

/**
 * Checks a plan for wrappers whose rule has these hyperparameters (`wrapper.defaults`), before there is one.
 *
 * @throws OptimError `unknown-option` for a hyperparameter that the rule does not have, `invalid-option`
 */
export function checkSchedulePlan(
  plan: SchedulePlan,
  hyperparameters: Readonly<BaseHyperparameters>,
  where = "checkSchedulePlan",
): void {
  readPlan(where, plan, [hyperparameters]);
}
