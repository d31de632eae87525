import { OptimError } from "@mm/optim-core";
import type { GradientRequest, Gradients } from "@mm/optim-core/backend";
import type { Variable } from "./variable.ts";

/** The argument of a loss closure. */
export interface ExamplePass {
  /** The gradient of a variable, for the closure to fill: zeros at first. Asking for it declares that the variable has one. */
  readonly grad: (variable: Variable) => Float32Array;
  /** The gradients are those of `scale` × loss. */
  readonly scale: number;
}

/**
 * Computes a loss, writes its gradients, and returns its value. Where your library differentiates by itself, its closures have no `grad`:
 * `(at) => at(w).mul(…).sum()`.
 */
export type ExampleLoss = (pass: ExamplePass) => number;

/**
 * Runs the closure and gives the gradients of the parameters that it reached. Absent is not zero: leave out what it did not reach. Where
 * it throws, nothing may be left behind.
 */
export function differentiate(
  loss: ExampleLoss,
  { parameters, scale, lossScale = 1, returnLoss }: GradientRequest<Variable, Float32Array, number>,
): Gradients<number, Variable, Float32Array, Float32Array, number> {
  // Parameters that are frozen are not among `parameters`, and variables of other optimizers neither: constants, whatever is asked for.
  const gradients = new Map<Variable, Float32Array>();
  const grad = (variable: Variable): Float32Array => {
    const gradient = gradients.get(variable) ?? new Float32Array(variable.data.length);
    gradients.set(variable, gradient);
    return gradient;
  };
  const value: unknown = loss({ grad, scale: scale * lossScale });
  if (typeof value !== "number") {
    throw new OptimError("invalid-loss", "loss closure", {
      expected: "a number, returned at once",
      received: value,
    });
  }
  return {
    value: returnLoss ? value : undefined,
    gradients: parameters.flatMap((parameter) => {
      const gradient = gradients.get(parameter.value);
      return gradient === undefined ? [] : [[parameter, gradient] as const];
    }),
  };
}
