import * as tf from "@tensorflow/tfjs-core";

/**
 * A copy of a tensor, in memory of its own. Steps write into the memory of variables. Whatever shares it, a `variable.clone()` or a reshape,
 * keeps its values all the same, since the variable then moves to new memory first; a snapshot leaves it where it is, and the next step as
 * cheap as all others.
 *
 * Enqueued at the call: does not wait for the device.
 *
 * @returns a tensor of the same shape, which is the caller's to dispose
 */
export function snapshot<R extends tf.Rank>(tensor: tf.Tensor<R>): tf.Tensor<R> {
  return tf.tidy(() => {
    // A slice of all elements is a copy of them. Of a scalar there is no slice.
    const flat = tf.reshape(tensor, [tensor.size]);
    return tf.reshape(tf.slice(flat, [0], [tensor.size]), tensor.shape);
  });
}
