import * as tf from "@tensorflow/tfjs-core";
import { owned } from "../owned.ts";

/** A vector where nothing is written in place: a step puts another tensor of the same shape into the cell. */
export class TensorCell {
  #tensor: tf.Tensor | undefined;
  #scale = 1;

  /** Takes a value that nobody owns; of one that is somebody's, a handle of its own. Absent where a subclass has it elsewhere. */
  constructor(value?: tf.Tensor) {
    if (value !== undefined) this.#tensor = owned(value);
  }

  get tensor(): tf.Tensor {
    const { tensor, scale } = this.parts;
    if (scale !== 1) this.replace(tf.tidy(() => tf.mul(tensor, scale)));
    return this.#tensor as tf.Tensor;
  }

  /** The value in two parts: a tensor and what it is to be multiplied by. */
  get parts(): { readonly tensor: tf.Tensor; readonly scale: number } {
    return { tensor: this.#tensor as tf.Tensor, scale: this.#scale };
  }

  /** @param scale what the value is multiplied by when it is next used */
  replace(value: tf.Tensor, scale = 1): void {
    const next = owned(value);
    this.#tensor?.dispose();
    this.#tensor = next;
    this.#scale = scale;
  }

  /** {@link replace} without a handle of its own: the value is the cell's from here. Cannot fail. */
  take(value: tf.Tensor): void {
    this.#tensor?.dispose();
    this.#tensor = tf.keep(value);
    this.#scale = 1;
  }

  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = undefined;
  }
}
