import type { Random } from "@mm-examples/gan-digits/random";
import type * as tf from "@tensorflow/tfjs-core";
import { inputOf, type Sizes, targetsOf } from "./model.ts";

export interface Batch {
  readonly input: tf.Tensor2D;
  readonly targets: tf.Tensor2D;
  readonly rows: number;
}

/** Where `rows` texts of `context` tokens, and the token after each, begin. */
export const drawPlaces = (
  tokens: Uint16Array,
  rows: number,
  context: number,
  random: Random,
): readonly number[] => Array.from({ length: rows }, () => random.integer(tokens.length - context));

/** The texts that begin at `places`; each token's target is the next one. The caller disposes of the tensors. */
export function batchAt(tokens: Uint16Array, places: readonly number[], sizes: Sizes): Batch {
  const { context } = sizes;
  const texts = (shift: number): Uint16Array => {
    const all = new Uint16Array(places.length * context);
    places.forEach((place, row) =>
      all.set(tokens.subarray(place + shift, place + shift + context), row * context),
    );
    return all;
  };
  return { input: inputOf(texts(0), sizes), targets: targetsOf(texts(1), sizes), rows: places.length };
}
