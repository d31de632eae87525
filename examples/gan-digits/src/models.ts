import * as tf from "@tensorflow/tfjs-core";
import { classes, pixels } from "./digits.ts";
import type { Random } from "./random.ts";

/** How many random numbers a digit is made from, besides the class that is asked for. */
const latents = 16;

/** Weights by name, in order: `"layer1.kernel"`, `"layer1.bias"`, … The names are those of the optimizer's state. */
export type Weights = Readonly<Record<string, tf.Variable>>;

/** 16 latents and the asked class → 14 × 14 pixels, as logits. */
export const createGenerator = (random: Random): Weights =>
  createWeights([latents + classes, 128, 256, pixels], random, 0.5);

/** 14 × 14 pixels and the class they claim to show → one logit, positive for "real". */
export const createDiscriminator = (random: Random): Weights =>
  createWeights([pixels + classes, 256, 1], random, 0.5);

/** 14 × 14 pixels → one logit for each class. It judges the samples; the GAN never sees it. */
export const createClassifier = (random: Random): Weights => createWeights([pixels, 128, classes], random, 1);

/** Images, [n, pixels], from the latents and classes of {@link generatorInput}. */
export const generate = (generator: Weights, input: tf.Tensor2D): tf.Tensor2D =>
  tf.sigmoid(perceptron(generator, input));

/** Logits, [n, 1], of images [n, pixels] that claim to show `classes` [n, 10], one-hot. */
export const discriminate = (
  discriminator: Weights,
  images: tf.Tensor2D,
  classes: tf.Tensor2D,
): tf.Tensor2D => perceptron(discriminator, tf.concat([images, classes], 1));

/** Logits, [n, 10], of images [n, pixels]. */
export const classify = (classifier: Weights, images: tf.Tensor2D): tf.Tensor2D =>
  perceptron(classifier, images);

/** [n, 10]: 1 in the column of the label. */
export function oneHot(labels: Uint8Array): tf.Tensor2D {
  const values = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => (values[row * classes + label] = 1));
  return tf.tensor2d(values, [labels.length, classes]);
}

/** [n, 16 + 10]: fresh latents, then the asked class, one-hot. */
export function generatorInput(labels: Uint8Array, random: Random): tf.Tensor2D {
  const noise = random.normals(labels.length * latents);
  return tf.tidy(() => tf.concat([tf.tensor2d(noise, [labels.length, latents]), oneHot(labels)], 1));
}

/** Dense layers with leaky ReLU between them, none after the last. */
function perceptron(weights: Weights, input: tf.Tensor2D): tf.Tensor2D {
  const layers = Object.values(weights);
  let x = input;
  for (let i = 0; i < layers.length; i += 2) {
    if (i > 0) x = tf.leakyRelu(x, 0.2);
    x = tf.add(tf.matMul(x, layers[i] as tf.Tensor2D), layers[i + 1] as tf.Tensor1D);
  }
  return x;
}

/** Kernels after He et al. (arXiv:1502.01852): normal with variance 2 ÷ inputs; the last layer's times `lastScale`. Biases are zero. */
function createWeights(sizes: readonly number[], random: Random, lastScale: number): Weights {
  const weights: Record<string, tf.Variable> = {};
  for (let layer = 1; layer < sizes.length; layer++) {
    const [inputs = 0, outputs = 0] = sizes.slice(layer - 1);
    const deviation = Math.sqrt(2 / inputs) * (layer === sizes.length - 1 ? lastScale : 1);
    const kernel = random.normals(inputs * outputs).map((value) => value * deviation);
    weights[`layer${layer}.kernel`] = toVariable(tf.tensor2d(kernel, [inputs, outputs]));
    weights[`layer${layer}.bias`] = toVariable(tf.zeros([outputs]));
  }
  return weights;
}

function toVariable(initial: tf.Tensor): tf.Variable {
  const variable = tf.variable(initial);
  initial.dispose();
  return variable;
}

/** A copy of all values. Waits for the device. */
export async function readWeights(weights: Weights): Promise<Record<string, Float32Array>> {
  const values: Record<string, Float32Array> = {};
  for (const [name, variable] of Object.entries(weights)) {
    values[name] = Float32Array.from(await variable.data<"float32">());
  }
  return values;
}

export function writeWeights(weights: Weights, values: Readonly<Record<string, Float32Array>>): void {
  for (const [name, variable] of Object.entries(weights)) {
    tf.tidy(() => variable.assign(tf.tensor(values[name] as Float32Array, variable.shape)));
  }
}

export function disposeWeights(weights: Weights): void {
  tf.dispose(Object.values(weights));
}
