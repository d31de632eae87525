import { numpy as np, vjp } from "@jax-js/jax";
import { type GradientRequest, type Parameter, refuse } from "@mm/optim-core/backend";
import { cellOf, isVariable, type Variable } from "./variable.ts";

/** Variables in objects and arrays, however deep: a model. */
export type VariableTree = Variable | readonly VariableTree[] | { readonly [name: string]: VariableTree };

/** The same with an array in the place of each variable. */
export type ArraysOf<T> = T extends Variable ? np.Array : { -readonly [K in keyof T]: ArraysOf<T[K]> };

/**
 * Reads variables inside a loss closure: `at(w)` is an array, `at(model)` a model of arrays. Each array is a reference of its own, to be consumed by the
 * function that it is passed to, so `at(w).mul(at(w))` needs no `.ref`. What is read has a gradient, if it is a parameter of the optimizer that is not
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

/**
 * Runs the closure and differentiates, with `seed` times its value. Nothing is computed yet: arrays of jax-js are lazy. Where it throws, no reference is left
 * behind.
 *
 * @param seed a scalar, consumed
 */
export function differentiate<P extends Parameter<Variable, unknown, unknown>>(
  loss: JaxLoss,
  parameters: readonly P[],
  seed: () => np.Array,
): Derivative<P> {
  if (parameters.length === 0) return { value: checkedLoss(loss(reader(new Map()))), gradients: [] };
  const arrays = parameters.map(({ value }) => cellOf(value).array);
  const references = arrays.map(({ refCount }) => refCount);
  const read = new Set<Variable>();
  const traced = (primals: readonly np.Array[]): np.Array => {
    const primalOf = new Map(parameters.map(({ value }, index) => [value, primals[index] as np.Array]));
    try {
      return checkedLoss(loss(reader(primalOf, read)));
    } finally {
      for (const primal of primals) primal.dispose();
    }
  };
  try {
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
  } catch (error) {
    // What was recorded when the closure threw still holds references, and nobody will ever let go of them.
    for (const [index, array] of arrays.entries())
      while (array.refCount > (references[index] as number)) array.dispose();
    throw error;
  }
}

/** What a closure is given. `read` takes the parameters that it reads. */
function reader(primalOf: ReadonlyMap<Variable, np.Array>, read?: Set<Variable>): ReadVariables {
  const arrayOf = (variable: Variable): np.Array => {
    const primal = primalOf.get(variable);
    if (primal === undefined) return variable.read();
    read?.add(variable);
    return primal.ref;
  };
  const at = (model: VariableTree): unknown => {
    if (isVariable(model)) return arrayOf(model);
    if (Array.isArray(model)) return model.map(at);
    if (typeof model === "object" && model !== null) {
      return Object.fromEntries(Object.entries(model).map(([name, part]) => [name, at(part)]));
    }
    return refuse("invalid-loss", "loss closure: at", "a Variable, or an object or array of them", model);
  };
  return at as ReadVariables;
}

function checkedLoss(value: unknown): np.Array {
  const { shape, dtype } = Object(value) as Partial<np.Array>;
  if (Array.isArray(shape) && shape.length === 0 && dtype === np.float32) return value as np.Array;
  return refuse(
    "invalid-loss",
    "loss closure",
    "a float32 array of shape [], returned at once",
    Array.isArray(shape) ? `${dtype}[${shape.join(", ")}]` : value,
  );
}
