/** The hyperparameters that every rule has. `lr` is the learning rate. */
export interface BaseHyperparameters {
  lr: number;
}

/** Values that a hyperparameter may have: a number, a switch, or a fixed number of numbers (`betas`). */
export type HyperparameterValue = number | boolean | readonly number[];

/**
 * The hyperparameters of any rule, by name, where the rule is not known. `H` is the typed form.
 * Interfaces carry no index signature, so typed hyperparameters are converted with {@link hyperparameterEntries}.
 */
export type HyperparameterRecord = { readonly [name: string]: HyperparameterValue };

/** The same object, seen as a record by name. */
export function hyperparameterEntries(hyperparameters: object): HyperparameterRecord {
  return hyperparameters as HyperparameterRecord;
}
