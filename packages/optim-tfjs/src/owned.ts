import * as tf from "@tensorflow/tfjs-core";

/**
 * A tensor that outlives its scope, for one owner: `value` itself where it has just been made, another handle on its data where somebody
 * owns it already.
 */
export function owned(value: tf.Tensor): tf.Tensor {
  return tf.keep(hasOwner(value) ? tf.clone(value) : value);
}

export function hasOwner(value: tf.Tensor): boolean {
  return value.kept || value instanceof tf.Variable;
}
