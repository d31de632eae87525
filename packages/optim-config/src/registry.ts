import type { BaseHyperparameters } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { Schedule } from "@mm/optim-schedule";

/** Makes an update rule from hyperparameters, or from none. */
export type RuleFactory = (hyperparameters?: never) => UpdateRule;

/**
 * Update rules by the names that a configuration calls them by: `{ adamw, sgd }`. It is handed in; there is no global list, and a bundle
 * holds the rules that are in it. Any function from hyperparameters to a rule will do: `{ slowAdam: (h) => lookahead(adam(h)) }`. Functions that
 * make no rule from hyperparameters alone are passed over, so that `import * as rules from "@mm/optim-rules"` is a registry too; each function is
 * called once without arguments to find out.
 */
export type RuleRegistry = { readonly [name: string]: RuleFactory | ((...args: never) => unknown) };

/** The names of the rule factories of a registry. */
export type RuleName<R extends RuleRegistry> = string extends keyof R
  ? string
  : { [K in keyof R & string]: R[K] extends RuleFactory ? K : never }[keyof R & string];

/** The hyperparameters of a rule of a registry. */
export type RuleHyperparameters<Factory> = Factory extends (
  hyperparameters?: never,
) => UpdateRule<infer H extends BaseHyperparameters>
  ? H
  : BaseHyperparameters;

/** Schedules by the names that a configuration calls them by: `{ linear, cosine }`. Handed in, as rules are. */
export type ScheduleRegistry = {
  readonly [name: string]: (options: never, where?: string) => Schedule;
};

/** The table in which rules and schedules are looked up. */
export interface Registries<
  R extends RuleRegistry = RuleRegistry,
  S extends ScheduleRegistry = ScheduleRegistry,
> {
  readonly rules: R;
  /** Needed where the configuration has `schedules`. */
  readonly schedules?: S;
}
