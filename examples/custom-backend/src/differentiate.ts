import { OptimError } from "@mm/optim-core";
import type { GradientRequest, Gradients } from "@mm/optim-core/backend";
import { gradientsOf, Tensor } from "./tensor.ts";

/** A loss closure: computes a scalar from tensors. */
export type TapeLoss = () => Tensor;

/** Runs the closure and differentiates, both scales in the seed of the backward pass. */
export function differentiate(
  loss: TapeLoss,
  { parameters, scale, lossScale = 1, returnLoss }: GradientRequest<Tensor, Float32Array, number>,
): Gradients<Tensor, Tensor, Float32Array, readonly number[], number> {
  const value: unknown = loss();
  if (!(value instanceof Tensor) || value.shape.length > 0) {
    throw new OptimError("invalid-loss", "loss closure", {
      expected: "a tensor of shape [], returned at once",
      received: value instanceof Tensor ? value.shape : value,
    });
  }
  const gradients = gradientsOf(value, Math.fround(scale * lossScale));
  return {
    value: returnLoss ? value : undefined,
    // A parameter that the loss does not reach has no gradient, which is not the same as zeros.
    gradients: parameters.flatMap((parameter) => {
      const gradient = gradients.get(parameter.value);
      return gradient === undefined ? [] : [[parameter, gradient] as const];
    }),
  };
}
