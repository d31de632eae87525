import * as tf from "@tensorflow/tfjs-core";
import { batchAt } from "./batch.ts";
import type { Model } from "./model.ts";

const rowsAtOnce = 16;

/** Nats for each token over `rows` texts, evenly spread over all tokens: always the same ones. Waits for the device. */
export async function evaluate(model: Model, tokens: Uint16Array, rows: number): Promise<number> {
  const last = tokens.length - model.sizes.context - 1;
  const places = Array.from({ length: rows }, (_, row) => Math.floor((row * last) / Math.max(1, rows - 1)));
  let sum = 0;
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const some = places.slice(first, first + rowsAtOnce);
    const { input, targets } = batchAt(tokens, some, model.sizes);
    const loss = tf.tidy(() => model.loss(input, targets));
    const [value = Number.NaN] = await loss.data();
    sum += value * some.length;
    tf.dispose([input, targets, loss]);
  }
  return sum / rows;
}
