import type { CheckRequest, StepItem } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import type { StepScalar } from "../scalar.ts";
import { asNumber, finiteElements, orZero, pNorm } from "./arithmetic.ts";
import type { Constants } from "./value.ts";
import { select } from "./select.ts";
import type { TensorCell } from "./tensor-cell.ts";

/**
 * The norm of the raw accumulators, in two factors since a loss scale may be in it, and 1 or 0 for whether all of them are finite, a
 * scalar. Call it in a tidy.
 */
export function checkAccumulators(
  items: readonly StepItem<tf.Variable, TensorCell, StepScalar>[],
  { normType, finite, ignoreNonFinite }: CheckRequest,
  constant: Constants,
): { readonly norm: tf.Tensor | undefined; readonly finite: tf.Tensor | undefined } {
  const accumulators = items.map(({ parameter }) => (parameter.accumulator as TensorCell).tensor);
  if (normType !== undefined) {
    const measured = ignoreNonFinite
      ? accumulators.map((x) => select(finiteElements(x, constant), x, constant(0)))
      : accumulators;
    const { factors, sum } = pNorm(measured, normType);
    return { norm: factors, finite: finite ? asNumber(finiteElements(sum)) : undefined };
  }
  if (!finite) return { norm: undefined, finite: undefined };
  const all = orZero(accumulators).map((x) => tf.all(finiteElements(x, constant)));
  return { norm: undefined, finite: asNumber(all.reduce((a, b) => tf.logicalAnd(a, b))) };
}
