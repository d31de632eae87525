import * as tf from "@tensorflow/tfjs-core";
import type { Batch } from "./batch.ts";
import { discriminate, generate, type Weights } from "./models.ts";

export interface Networks {
  readonly generator: Weights;
  readonly discriminator: Weights;
}

/**
 * Binary cross-entropy of logits against one target for all, −t log σ(x) − (1 − t) log(1 − σ(x)) = softplus(x) − t x, its mean.
 */
export const crossEntropy = (logits: tf.Tensor, target: number): tf.Scalar =>
  tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, target)));

/** Cross-entropy of logits [n, classes] against one-hot labels, its mean. */
export const softmaxCrossEntropy = (logits: tf.Tensor2D, labels: tf.Tensor2D): tf.Scalar =>
  tf.mean(tf.sub(tf.logSumExp(logits, 1), tf.sum(tf.mul(logits, labels), 1)));

/** To call real digits real (0.9 of the way: Salimans et al., arXiv:1606.03498, section 3.4) and samples not. */
export function discriminatorLoss(
  { generator, discriminator }: Networks,
  { real, asked, input }: Batch,
): tf.Scalar {
  const images = tf.concat([real, generate(generator, input)]);
  const logits = discriminate(discriminator, images, tf.concat([asked, asked]));
  const [onReal, onFake] = tf.split(logits, 2) as [tf.Tensor2D, tf.Tensor2D];
  return tf.add(crossEntropy(onReal, 0.9), crossEntropy(onFake, 0));
}

/** To have samples called real: the loss that does not saturate (Goodfellow et al., arXiv:1406.2661, section 3). */
export function generatorLoss({ generator, discriminator }: Networks, { asked, input }: Batch): tf.Scalar {
  return crossEntropy(discriminate(discriminator, generate(generator, input), asked), 1);
}
