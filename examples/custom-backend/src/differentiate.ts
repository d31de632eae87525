import { numpy as np, vjp } from "@jax-js/jax";
import { OptimError } from "@mm/optim-core";
import type { GradientRequest, Gradients } from "@mm/optim-core/backend";
import type { Variable } from "./variable.ts";

/**
 * Reads a variable inside a loss. Reading declares that it has a gradient. Each call gives a reference of its own, to be consumed by the
 * function it is passed to, so `at(w).mul(at(w))` needs no `.ref`.
 */
export type ReadVariable = (variable: Variable) => np.Array;

/** A loss closure: computes a scalar from variables that it reads with `at`. */
export type JaxLoss = (at: ReadVariable) => np.Array;

/** Runs the closure and differentiates, both scales in the seed of the backward pass. Where it throws, no reference is left behind. */
export function differentiate(
  loss: JaxLoss,
  { parameters, scale, lossScale = 1, returnLoss }: GradientRequest<Variable, Float32Array, number>,
): Gradients<np.Array, Variable, Float32Array, np.Array, number> {
  const arrays = parameters.map(({ value }) => value.array);
  const references = arrays.map((array) => array.refCount);
  const read = new Set<Variable>();
  const traced = (primals: readonly np.Array[]): np.Array => {
    const primalOf = new Map(parameters.map(({ value }, index) => [value, primals[index] as np.Array]));
    // Variables that are frozen, or not of this optimizer, are constants.
    const at: ReadVariable = (variable) => {
      read.add(variable);
      return (primalOf.get(variable) ?? variable.array).ref;
    };
    try {
      const value = checkedLoss(loss(at));
      if (read.size > 0) return value;
      value.dispose();
      throw new OptimError("no-gradient", "loss closure", {
        expected: "a loss that reads a variable",
        hint: "Read variables with the function that the closure is given: at(weights), not weights.array",
      });
    } finally {
      for (const primal of primals) primal.dispose();
    }
  };
  try {
    const [value, pull] = vjp(traced, [arrays.map((array) => array.ref)]);
    const [gradients] = pull(np.array(scale * lossScale)) as [np.Array[]];
    pull.dispose();
    if (!returnLoss) value.dispose();
    return {
      value: returnLoss ? value : undefined,
      gradients: parameters.flatMap((parameter, index) => {
        const gradient = gradients[index] as np.Array;
        if (read.has(parameter.value)) return [[parameter, gradient] as const];
        // Zeros, since jax-js has no absent gradients.
        gradient.dispose();
        return [];
      }),
    };
  } catch (error) {
    // What was recorded when the closure threw still holds references, and nobody will ever let go of them.
    for (const [index, array] of arrays.entries())
      while (array.refCount > (references[index] as number)) array.dispose();
    throw error;
  }
}

function checkedLoss(value: unknown): np.Array {
  const { shape, dtype } = Object(value) as Partial<np.Array>;
  if (Array.isArray(shape) && shape.length === 0 && dtype === np.float32) return value as np.Array;
  throw new OptimError("invalid-loss", "loss closure", {
    expected: "a float32 array of shape [], returned at once",
    received: Array.isArray(shape) ? `${dtype}[${shape.join(", ")}]` : value,
  });
}
