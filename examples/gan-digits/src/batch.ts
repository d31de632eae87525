import * as tf from "@tensorflow/tfjs-core";
import { type Digits, drawBatch, pixels } from "./digits.ts";
import { generatorInput, oneHot } from "./models.ts";
import type { Random } from "./random.ts";

export interface Batch {
  /** [n, pixels] */
  readonly real: tf.Tensor2D;
  /** [n, 10]: what the real digits show, and what the generator is asked for. */
  readonly asked: tf.Tensor2D;
  /** [n, 16 + 10] */
  readonly input: tf.Tensor2D;
}

/** `size` real digits, and what the generator is to draw beside them. The caller disposes of the tensors. */
export function nextBatch(digits: Digits, size: number, random: Random): Batch {
  const { images, labels } = drawBatch(digits, size, random);
  return {
    real: tf.tensor2d(images, [size, pixels]),
    asked: oneHot(labels),
    input: generatorInput(labels, random),
  };
}
