import type { MatrixRoutine } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import type { Constants } from "./value.ts";

/** The Newton–Schulz steps of `orthogonalize` of the rule language. The order of sums is tfjs's. Call it in a tidy. */
export function orthogonalized(
  x: tf.Tensor,
  { coefficients }: Pick<MatrixRoutine, "coefficients">,
  constant: Constants,
): tf.Tensor {
  if (x.size === 0) return x;
  const [rows, cols] = x.shape as [number, number];
  const turned = (matrix: tf.Tensor): tf.Tensor => (rows > cols ? tf.transpose(matrix) : matrix);
  const last = coefficients.reduce(
    (matrix, triple) => tf.tidy(() => step(matrix, triple, constant)),
    turned(x),
  );
  return turned(last);
}

function step(x: tf.Tensor, [a, b, c]: readonly [number, number, number], constant: Constants): tf.Tensor {
  // Not matMul(x, x, false, true): tfjs-wasm has a fast kernel only for operands that lie as they are multiplied.
  const gram = tf.matMul(x, tf.transpose(x));
  const both = tf.add(tf.mul(gram, constant(b)), tf.mul(tf.matMul(gram, gram), constant(c)));
  return tf.add(tf.mul(x, constant(a)), tf.matMul(both, x));
}
