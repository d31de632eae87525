import * as tf from "@tensorflow/tfjs-core";
import { SharedScalar } from "../scalar.ts";

/**
 * The record of a step on the device: a texture whose first row is about the step as a whole, and each further one about parameters that
 * have their scalars in common. A tensor of tfjs, which lives as long as any scalar in it.
 */
export class Records {
  readonly tensor: tf.Tensor;
  #owners = 0;

  /** Takes the tensor. */
  constructor(tensor: tf.Tensor) {
    this.tensor = tf.keep(tensor);
  }

  retain(): void {
    this.#owners += 1;
  }

  release(): void {
    this.#owners -= 1;
    if (this.#owners === 0) this.tensor.dispose();
  }
}

/** A scalar in a record. It becomes a tensor of its own where an operation of tfjs asks for it. */
export class RecordedScalar extends SharedScalar {
  readonly records: Records;
  readonly row: number;
  /** Counted along the row, four a texel. */
  readonly element: number;

  constructor(records: Records, row: number, element: number) {
    super();
    this.records = records;
    this.row = row;
    this.element = element;
    records.retain();
  }

  protected override make(): tf.Tensor {
    const [row, column] = placeOf(this.row, this.element);
    return tf.tidy(() => tf.reshape(tf.slice(this.records.tensor, [row, column], [1, 1]), []));
  }

  protected override free(): void {
    this.records.release();
  }
}

/** Where an element of a row stands in the tensor: a texel holds 2 × 2 of its elements. */
export function placeOf(row: number, element: number): readonly [row: number, column: number] {
  const channel = element % 4;
  return [2 * row + (channel >> 1), 2 * Math.floor(element / 4) + (channel & 1)];
}
