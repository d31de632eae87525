import type { BaseHyperparameters } from "@mm/optim-core";
import type { Settings } from "./hyperparameter.ts";
import { readPlan } from "./progress.ts";
import type { SchedulePlan } from "./scheduler.ts";

/**
 * Checks a plan for wrappers whose rules have these hyperparameters (`wrapper.defaults`), before there is one.
 *
 * @param hyperparameters of the rule; a list where groups have rules of their own
 * @throws OptimError `unknown-option` for a hyperparameter that no rule has, `invalid-option`
 */
export function checkSchedulePlan(
  plan: SchedulePlan,
  hyperparameters: Readonly<BaseHyperparameters> | readonly Readonly<BaseHyperparameters>[],
  where = "checkSchedulePlan",
): void {
  readPlan(where, plan, [hyperparameters].flat() as readonly Settings[]);
}
