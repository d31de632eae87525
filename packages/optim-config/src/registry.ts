import { type BaseHyperparameters, isOptimError, OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { Schedule } from "@mm/optim-schedule";
import type { AnyOptimizerConfig, RuleAround } from "./config.ts";

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

/**
 * Makes a rule of a registry, and those around it.
 *
 * @throws OptimError `invalid-rule` for a name in `wrap` whose function puts no rule around another; what the functions throw
 */
export function makeWrapped(
  rules: RuleRegistry,
  { type, wrap = [], ...hyperparameters }: AnyOptimizerConfig,
  where: string,
): UpdateRule {
  const around = (inner: UpdateRule, { type: name, ...options }: RuleAround, index: number): UpdateRule => {
    const place = `${where}.wrap[${index}]`;
    const wrapRule = rules[name] as unknown as
      ((rule: UpdateRule, options: object) => UpdateRule) | undefined;
    const made = within(`${place}: `, () =>
      Object.hasOwn(rules, name) && !tryFactory(wrapRule).rule ? wrapRule?.(inner, options) : undefined,
    );
    return made?.kind === "update-rule"
      ? made
      : refuse(
          "invalid-rule",
          `${place}.type`,
          "a function of the registry that puts a rule around another",
          name,
        );
  };
  return wrap.reduce(around, makeRule(rules, type, hyperparameters));
}

/** Puts the path of a field before what others refuse. */
export function within<T>(prefix: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!isOptimError(error)) throw error;
    throw new OptimError(error.code, prefix + error.message, { cause: error });
  }
}

/** The rule of a factory with its defaults, or why there is none. */
export function tryFactory(
  factory: unknown,
): { readonly rule: UpdateRule } | { readonly rule?: undefined; readonly cause?: unknown } {
  try {
    const made: unknown = (factory as () => unknown)();
    // Functions that read a device reject without one; that is nobody's error.
    if (made instanceof Promise) made.catch(() => {});
    return (made as Partial<UpdateRule> | null | undefined)?.kind === "update-rule"
      ? { rule: made as UpdateRule }
      : {};
  } catch (cause) {
    return { cause };
  }
}
