import type { StepClip } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import type { Value } from "./value.ts";

/** The unscaled norm, from the two factors that the check found, and the factor with the clip coefficient multiplied in. See core's `clip.ts`. Call it in a tidy. */
export function clipFactor(
  factor: Value,
  norm: tf.Tensor,
  clipGrad: StepClip | undefined,
): { readonly factor: Value; readonly gradNorm: tf.Tensor } {
  const [largest, relative] = tf.unstack(norm) as [tf.Tensor, tf.Tensor];
  const gradNorm = tf.mul(tf.mul(largest, tf.abs(factor)), relative);
  if (clipGrad === undefined || clipGrad.type === "value") return { factor, gradNorm };
  const coefficient = tf.div(clipGrad.maxNorm, tf.add(gradNorm, 1e-6));
  // NaN is not above 1, and stays.
  return { factor: tf.mul(factor, tf.where(tf.greater(coefficient, 1), 1, coefficient)), gradNorm };
}
