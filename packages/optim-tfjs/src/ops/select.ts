import * as tf from "@tensorflow/tfjs-core";
import { shapeOfBoth, spread } from "./shapes.ts";
import type { Value } from "./value.ts";

/** `tf.where` of float32 values without gradients, and without the copies that it makes of operands whose shape is right already. */
export function select(condition: tf.Tensor, a: Value, b: Value): tf.Tensor {
  const [t, e] = [asTensor(a), asTensor(b)];
  const shape = [t, e].reduce((found, { shape: other }) => shapeOfBoth(found, other), condition.shape);
  const inputs = { condition: spread(condition, shape), t: spread(t, shape), e: spread(e, shape) };
  return tf.engine().runKernel(tf.Select, inputs);
}

const asTensor = (value: Value): tf.Tensor => (typeof value === "number" ? tf.scalar(value) : value);
