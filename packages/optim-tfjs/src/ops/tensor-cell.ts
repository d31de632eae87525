import type * as tf from "@tensorflow/tfjs-core";
import { owned } from "../owned.ts";

/** A vector where nothing is written in place: a step puts another tensor of the same shape into the cell. */
export class TensorCell {
  #tensor: tf.Tensor;

  /** Takes a value that nobody owns; of one that is somebody's, a handle of its own. */
  constructor(value: tf.Tensor) {
    this.#tensor = owned(value);
  }

  get tensor(): tf.Tensor {
    return this.#tensor;
  }

  replace(value: tf.Tensor): void {
    const next = owned(value);
    this.#tensor.dispose();
    this.#tensor = next;
  }

  dispose(): void {
    this.#tensor.dispose();
  }
}
