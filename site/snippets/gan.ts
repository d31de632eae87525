// A generator that shifts and scales noise, a discriminator on one number: the smallest GAN there is, on TensorFlow.js.
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers"; // registers the gradients
import * as tf from "@tensorflow/tfjs-core";

export const generatorVariables = { scale: tf.variable(tf.scalar(1)), shift: tf.variable(tf.scalar(0)) };
export const discriminatorVariables = {
  kernel: tf.variable(tf.tensor2d([[0.3], [-0.1]])),
  bias: tf.variable(tf.scalar(0)),
};

/** Real data, [n, 1]: normal around 3. */
export const batches: tf.Tensor2D[] = [1, 2, 3, 4].map((seed) =>
  tf.randomNormal([32, 1], 3, 0.5, "float32", seed),
);
export const batch = batches[0]!;

export function discriminatorLoss(real: tf.Tensor2D): tf.Scalar {
  return tf.add(crossEntropy(discriminate(real), 1), crossEntropy(discriminate(generate(real.shape)), 0));
}

export function generatorLoss(real: tf.Tensor2D): tf.Scalar {
  return crossEntropy(discriminate(generate(real.shape)), 1);
}

function generate(shape: [number, number]): tf.Tensor {
  const { scale, shift } = generatorVariables;
  return tf.add(tf.mul(scale, tf.randomNormal(shape, 0, 1, "float32", 7)), shift);
}

/** Logits, [n, 1], of a number and its square. */
function discriminate(x: tf.Tensor): tf.Tensor {
  const { kernel, bias } = discriminatorVariables;
  return tf.add(tf.matMul(tf.concat([x, tf.square(x)], 1), kernel), bias);
}

/** Of the probability that the logits give to `label`. */
function crossEntropy(logits: tf.Tensor, label: 0 | 1): tf.Scalar {
  return tf.mean(tf.softplus(label === 1 ? tf.neg(logits) : logits));
}
