import type { BaseHyperparameters } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { Schedule } from "@mm/optim-schedule";

/**
 * Update rules by the names that a configuration calls them by: `{ adamw, sgd }`. It is handed in; there is no global list, and a bundle
 * holds the rules that are in it. Any function from hyperparameters to a rule will do: `{ slowAdam: (h) => lookahead(adam(h)) }`.
 */
export type RuleRegistry = { readonly [name: string]: (hyperparameters?: never) => UpdateRule };

export type RuleName<R extends RuleRegistry> = keyof R & string;

/** The hyperparameters of a rule of a registry. */
export type HyperparametersOf<Factory> = Factory extends (
  hyperparameters?: never,
) => UpdateRule<infer H extends BaseHyperparameters>
  ? H
  : BaseHyperparameters;

/** Schedules by the names that a configuration calls them by: `{ linear, cosine }`. Handed in, as rules are. */
export type ScheduleRegistry = {
  readonly [name: string]: (options: never, where?: string) => Schedule;
};

/** What rules and schedules are looked up in. */
export interface Registries<
  R extends RuleRegistry = RuleRegistry,
  S extends ScheduleRegistry = ScheduleRegistry,
> {
  readonly rules: R;
  /** Needed where the configuration has `schedules`. */
  readonly schedules?: S;
}

/** Makes a rule of a registry, with hyperparameters of which only the rule knows the type. */
export function makeRule(rules: RuleRegistry, name: string, hyperparameters: object = {}): UpdateRule {
  return (rules[name] as unknown as (hyperparameters: object) => UpdateRule)(hyperparameters);
}
