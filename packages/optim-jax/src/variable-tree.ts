import type { numpy as np } from "@jax-js/jax";
import { refuse } from "@mm/optim-core/backend";
import { isVariable, type Variable } from "./variable.ts";

/** Variables in objects and arrays, however deep: a model. */
export type VariableTree = Variable | readonly VariableTree[] | { readonly [name: string]: VariableTree };

/** The same with an array in the place of each variable. */
export type ArraysOf<T> = T extends Variable ? np.Array : { -readonly [K in keyof T]: ArraysOf<T[K]> };

/** A model of arrays with a variable in the place of each. */
export type VariablesOf<T> = T extends np.Array ? Variable : { readonly [K in keyof T]: VariablesOf<T[K]> };

/** A tree of the same form, with something else in the place of each variable. @throws OptimError `invalid-loss` for what is no model */
export function mapVariables(model: VariableTree, map: (variable: Variable) => unknown): unknown {
  if (isVariable(model)) return map(model);
  if (Array.isArray(model)) return model.map((part: VariableTree) => mapVariables(part, map));
  if (Object(model) !== model) {
    refuse("invalid-loss", "loss closure: at", "a Variable, or an object or array of them", model);
  }
  return Object.fromEntries(Object.entries(model).map(([name, part]) => [name, mapVariables(part, map)]));
}
