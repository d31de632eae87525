import * as tf from "@tensorflow/tfjs-core";
import { SharedScalar } from "../scalar.ts";
import { elementsOf } from "../transfer.ts";
import type { Source } from "./layout.ts";
import type { Releases, Surface } from "./surface.ts";

/**
 * The record of a step on the device: a texture whose first row is about the step as a whole, and each further one about parameters that
 * have their scalars in common. It lives as long as any scalar in it.
 */
export abstract class Records {
  #owners = 0;

  retain(): void {
    this.#owners += 1;
  }

  release(): void {
    this.#owners -= 1;
    if (this.#owners === 0) this.free();
  }

  abstract source(releases: Releases): Source;
  /** An element as a tensor that nobody owns. Elements are counted along a row, four a texel. */
  abstract element(row: number, element: number): tf.Tensor;
  /** Waits for the device. */
  abstract read(row: number, element: number): Promise<number>;
  protected abstract free(): void;
}

/** A record in a tensor of tfjs. */
export class TensorRecords extends Records {
  readonly #canvas: Surface;
  readonly #tensor: tf.Tensor;

  /** Takes the tensor. */
  constructor(canvas: Surface, tensor: tf.Tensor) {
    super();
    this.#canvas = canvas;
    this.#tensor = tf.keep(tensor);
  }

  source(releases: Releases): Source {
    return this.#canvas.source(this.#tensor, releases);
  }

  element(row: number, element: number): tf.Tensor {
    return tf.tidy(() => tf.reshape(tf.slice(this.#tensor, [...placeOf(row, element)], [1, 1]), []));
  }

  async read(row: number, element: number): Promise<number> {
    const tensor = this.element(row, element);
    const reading = elementsOf(tensor);
    tensor.dispose();
    return (await reading)[0] as number;
  }

  protected free(): void {
    this.#tensor.dispose();
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

  override read(): Promise<number> {
    return this.records.read(this.row, this.element);
  }

  protected override make(): tf.Tensor {
    return this.records.element(this.row, this.element);
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
