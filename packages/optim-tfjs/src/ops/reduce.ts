import type { TensorReduction } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { pNorm, shortSum, sum } from "./arithmetic.ts";
import { select } from "./select.ts";
import { type Shape, spread } from "./shapes.ts";
import type { Constants, Value } from "./value.ts";

/**
 * A reduction as a scalar, or as what is one per row, [rows, 1], or per column, [1, columns]. In float32: relative errors are some 1e-6. Call it
 * in a tidy.
 *
 * @param shape of the elements, to which `x` and `y` are broadcast
 */
export function reduce(
  { kind, per }: Pick<TensorReduction, "kind" | "per">,
  [x, y]: readonly [x: Value, y: Value],
  shape: Shape,
  constant: Constants,
): tf.Tensor {
  const axis = per === "tensor" ? undefined : per === "row" ? 1 : 0;
  if (shape.includes(0))
    return tf.zeros(axis === undefined ? [] : shape.map((n, at) => (at === axis ? 1 : n)));
  if (kind === "dot") return sumAlong(spread(tf.mul(x, y), shape), axis);
  const elements = spread(x, shape);
  if (kind === "norm") return pNorm([elements], 2).norm;
  return kind === "sum" ? sumAlong(elements, axis) : largest(tf.abs(elements), axis, constant);
}

/** The largest of sizes, NaN where one is: not every `tf.max` keeps a NaN, but every sum does. */
function largest(sizes: tf.Tensor, axis: number | undefined, constant: Constants): tf.Tensor {
  const lost = select(tf.greaterEqual(sizes, constant(0)), constant(0), sizes);
  const keeps = axis !== undefined;
  return tf.add(tf.max(sizes, axis, keeps), tf.sum(lost, axis, keeps));
}

/** The sum of a tensor, or along one axis of a matrix, which stays as a side of 1. A long one in two steps. */
function sumAlong(x: tf.Tensor, axis: number | undefined): tf.Tensor {
  if (axis === undefined) return sum(x);
  const [rows, cols] = x.shape as [number, number];
  const length = axis === 0 ? rows : cols;
  if (length <= shortSum) return tf.sum(x, axis, true);
  const parts = Math.floor(Math.sqrt(length));
  const each = Math.floor(length / parts);
  const whole = parts * each;
  const from = axis === 0 ? [whole, 0] : [0, whole];
  const head = tf.slice(x, [0, 0], axis === 0 ? [whole, cols] : [rows, whole]);
  const partial = tf.sum(tf.reshape(head, axis === 0 ? [parts, each, cols] : [rows, parts, each]), axis + 1);
  const total = tf.sum(partial, axis, true);
  return whole === length ? total : tf.add(total, tf.sum(tf.slice(x, from), axis, true));
}
