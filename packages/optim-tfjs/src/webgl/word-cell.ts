import { masterSlot } from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import type { OpsParameter } from "../ops/ops-engine.ts";
import { TensorCell } from "../ops/tensor-cell.ts";
import { tensorOf } from "../transfer.ts";
import type { Target } from "./layout.ts";

/** A texture of a store of words, and the shape whose blocks it holds. */
export interface WordPlane extends Target {
  readonly shape: readonly number[];
}

/** The part of a store that a cell needs. */
interface Words {
  free(plane: WordPlane): void;
  readNow(plane: WordPlane): Float32Array;
}

/**
 * A vector in a plane of words. It holds a tensor instead where something else has made its value: a gradient, taken as it is, or another
 * backend, in a step by ops. A master that holds neither is what its variable is.
 */
export class WordCell extends TensorCell {
  readonly parameter: OpsParameter;
  readonly #words: Words;
  #plane: WordPlane | undefined;
  #tensors = 0;
  /** Of a master: what tfjs-webgl had for the data of the variable when the variable was the rounded master. */
  rounded: { readonly dataId: object; readonly data: object } | undefined;

  constructor(words: Words, parameter: OpsParameter, value?: tf.Tensor) {
    super(value);
    this.#words = words;
    this.parameter = parameter;
    if (value !== undefined) this.#tensors = 1;
  }

  get plane(): WordPlane | undefined {
    return this.#plane;
  }

  get isMaster(): boolean {
    return this.parameter.slots.get(masterSlot) === this;
  }

  /** Takes a plane in the place of what it held. */
  hold(plane: WordPlane): void {
    this.dispose();
    this.#plane = plane;
  }

  /** By another backend: waits for the device, and takes what it held over there. */
  override get tensor(): tf.Tensor {
    const plane = this.#plane;
    if (plane !== undefined) this.take(tensorOf(this.#words.readNow(plane), plane.shape));
    return this.#tensors === 0 ? this.parameter.value : super.tensor;
  }

  override replace(value: tf.Tensor, scale = 1): void {
    super.replace(value, scale);
    this.#tensors = 1;
    this.#freePlane();
  }

  override take(value: tf.Tensor): void {
    super.take(value);
    this.#tensors = 1;
    this.#freePlane();
  }

  override dispose(): void {
    super.dispose();
    this.#tensors = 0;
    this.#freePlane();
  }

  #freePlane(): void {
    if (this.#plane !== undefined) this.#words.free(this.#plane);
    this.#plane = undefined;
  }
}
