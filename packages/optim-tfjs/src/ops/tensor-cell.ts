import * as tf from "@tensorflow/tfjs-core";

/** A vector where nothing is written in place: a step puts another tensor of the same shape into the cell. */
export class TensorCell {
  #tensor: tf.Tensor;

  /** Takes a handle of its own on the value; `value` stays the caller's. */
  constructor(value: tf.Tensor) {
    this.#tensor = tf.keep(tf.clone(value));
  }

  get tensor(): tf.Tensor {
    return this.#tensor;
  }

  replace(value: tf.Tensor): void {
    const next = tf.keep(tf.clone(value));
    this.#tensor.dispose();
    this.#tensor = next;
  }

  dispose(): void {
    this.#tensor.dispose();
  }
}
