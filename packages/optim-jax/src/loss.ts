import { numpy as np } from "@jax-js/jax";
import { refuse } from "@mm/optim-core/backend";
import type { ArraysOf, VariableTree } from "./variable-tree.ts";

/**
 * Reads variables inside a loss closure: `at(w)` is an array, `at(model)` a model of arrays. Each array is a reference of its own, to be consumed by the
 * function that it is passed to, so `at(w).mul(at(w))` needs no `.ref`. A variable that is read has a gradient, if it is a parameter of the optimizer that is not
 * frozen; everything else is a constant.
 */
export type ReadVariables = <T extends VariableTree>(model: T) => ArraysOf<T>;

/** A loss closure: computes a scalar of float32 from variables that it reads with `at`. Nothing else may leave it. */
export type JaxLoss = (at: ReadVariables) => np.Array;

/** The value of a loss and what it is the derivative of. All is the caller's. */
export interface Derivative<P> {
  readonly value: np.Array;
  /** Of the parameters that the closure read. Two of them may be one array, with a reference each. */
  readonly gradients: readonly (readonly [parameter: P, gradient: np.Array])[];
}

/** @throws OptimError `invalid-loss` */
export function checkedLoss(value: unknown): np.Array {
  const { shape, dtype } = Object(value) as Partial<np.Array>;
  if (Array.isArray(shape) && shape.length === 0 && dtype === np.float32) return value as np.Array;
  return refuse(
    "invalid-loss",
    "loss closure",
    "a float32 array of shape [], returned at once",
    Array.isArray(shape) ? `${dtype}[${shape.join(", ")}]` : value,
  );
}
