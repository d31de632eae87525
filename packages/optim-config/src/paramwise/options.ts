import type { HyperparameterRecord } from "@mm/optim-core";
import { hyperparameterEntries, refuse } from "@mm/optim-core/backend";
import { resolveHyperparameters, type UpdateRule } from "@mm/optim-core/rule";

/**
 * Checks the hyperparameters among the options for some of the parameters.
 *
 * @param others the options that are no hyperparameters, for the list of all that are known
 * @returns the hyperparameters, read
 * @throws OptimError `unknown-option`, `invalid-hyperparameter`
 */
export function requireOptions(
  hyperparameters: object,
  { definition, hyperparameters: defaults }: UpdateRule,
  others: readonly string[],
  where: string,
): HyperparameterRecord {
  const base = hyperparameterEntries(defaults);
  const unknown = Object.keys(hyperparameters).find((name) => !Object.hasOwn(base, name));
  if (unknown !== undefined) {
    refuse("unknown-option", where, `one of ${[...Object.keys(base), ...others].join(", ")}`, unknown);
  }
  resolveHyperparameters(definition, base, hyperparameters, where);
  return hyperparameterEntries(hyperparameters);
}
