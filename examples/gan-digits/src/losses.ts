import * as tf from "@tensorflow/tfjs-core";

/**
 * Binary cross-entropy of logits against one target for all, −t log σ(x) − (1 − t) log(1 − σ(x)) = softplus(x) − t x, its mean.
 */
export const crossEntropy = (logits: tf.Tensor, target: number): tf.Scalar =>
  tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, target)));

/** Cross-entropy of logits [n, classes] against one-hot labels, its mean. */
export const softmaxCrossEntropy = (logits: tf.Tensor2D, labels: tf.Tensor2D): tf.Scalar =>
  tf.mean(tf.sub(tf.logSumExp(logits, 1), tf.sum(tf.mul(logits, labels), 1)));
