import { type numpy as np, vjp } from "@jax-js/jax";
import type { Parameter } from "@mm/optim-core/backend";
import { compiledLoss } from "./jit-loss.ts";
import { checkedLoss, type Derivative, type JaxLoss, type ReadVariables } from "./loss.ts";
import { guardReferences } from "./references.ts";
import { mapVariables, type VariableTree } from "./variable-tree.ts";
import { cellOf, type Variable } from "./variable.ts";

/**
 * Runs the closure and differentiates, with `seed` times its value. Nothing is computed yet: arrays of jax-js are lazy. Where it throws, no reference is left
 * behind.
 *
 * @param seed makes a scalar, which is consumed
 * @throws OptimError `invalid-loss`
 */
export function differentiate<P extends Parameter<Variable, unknown, unknown>>(
  loss: JaxLoss,
  parameters: readonly P[],
  seed: () => np.Array,
): Derivative<P> {
  if (parameters.length === 0) return { value: checkedLoss(loss(reader(new Map()))), gradients: [] };
  const compiled = compiledLoss(loss);
  if (compiled !== undefined) return compiled(parameters, seed);
  const arrays = parameters.map(({ value }) => cellOf(value).array);
  const read = new Set<Variable>();
  const traced = (primals: readonly np.Array[]): np.Array => {
    const primalOf = new Map(parameters.map(({ value }, index) => [value, primals[index] as np.Array]));
    try {
      return checkedLoss(loss(reader(primalOf, read)));
    } finally {
      for (const primal of primals) primal.dispose();
    }
  };
  return guardReferences(arrays, () => {
    const [value, pull] = vjp(traced, [arrays.map(({ ref }) => ref)]);
    const [gradients] = read.size > 0 ? (pull(seed()) as [np.Array[]]) : [[]];
    pull.dispose();
    return {
      value,
      gradients: gradients.flatMap((gradient, index) => {
        const parameter = parameters[index] as P;
        if (read.has(parameter.value)) return [[parameter, gradient] as const];
        // Zeros, since jax-js has no absent gradients.
        gradient.dispose();
        return [];
      }),
    };
  });
}

/** The argument of a closure. `read` takes the parameters that it reads. */
function reader(primalOf: ReadonlyMap<Variable, np.Array>, read?: Set<Variable>): ReadVariables {
  const arrayOf = (variable: Variable): np.Array => {
    const primal = primalOf.get(variable);
    if (primal === undefined) return variable.read();
    read?.add(variable);
    return primal.ref;
  };
  return ((model: VariableTree) => mapVariables(model, arrayOf)) as ReadVariables;
}
