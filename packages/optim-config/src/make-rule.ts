import { isOptimError, OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { AnyOptimizerConfig, RuleAround } from "./config.ts";
import type { RuleRegistry } from "./registry.ts";

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
