import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { classes, type Digits, drawBatch, pixels } from "./digits.ts";
import { softmaxCrossEntropy } from "./losses.ts";
import {
  classify,
  createClassifier,
  disposeWeights,
  generate,
  generatorInput,
  oneHot,
  type Weights,
} from "./models.ts";
import { createRandom, type Random } from "./random.ts";

/** How good the samples are, next to real digits that neither the GAN nor the classifier saw. */
export interface Quality {
  readonly samples: Assessment;
  readonly heldOut: Assessment;
}

export interface Assessment {
  readonly count: number;
  /** How often a classifier, trained on the training digits, sees the class that was asked for (or the true one). */
  readonly agreement: number;
  /** The same, class by class. */
  readonly agreementByClass: readonly number[];
  /**
   * Euclidean distance in pixels to the nearest training digit. Far below those of held-out digits, samples would be copies; far
   * above, no digits.
   */
  readonly nearest: { readonly median: number; readonly least: number };
  /** How much the images of one class differ: root mean square distance from the mean of their class. Low when all look alike. */
  readonly spread: number;
}

/** Depends on the weights, the digits and the seed only. Waits for the device. */
export async function assess(
  generator: Weights,
  { training, heldOut }: { readonly training: Digits; readonly heldOut: Digits },
  seed: number,
): Promise<Quality> {
  const random = createRandom(seed, "quality");
  const classifier = trainClassifier(training, random);
  const samples = await drawSamples(generator, 50, random);
  const quality = {
    samples: await assessDigits(samples, classifier, training),
    heldOut: await assessDigits(heldOut, classifier, training),
  };
  disposeWeights(classifier);
  return quality;
}

function trainClassifier(digits: Digits, random: Random): Weights {
  const classifier = createClassifier(random);
  const optim = createOptimWrapper(tfjsOptimizer(adam({ lr: 2e-3 }), classifier));
  for (let step = 0; step < 800; step++) {
    const { images, labels, count } = drawBatch(digits, 64, random);
    optim.updateParams(() =>
      softmaxCrossEntropy(classify(classifier, tf.tensor2d(images, [count, pixels])), oneHot(labels)),
    );
  }
  optim.dispose();
  return classifier;
}

async function drawSamples(generator: Weights, perClass: number, random: Random): Promise<Digits> {
  const labels = Uint8Array.from({ length: classes * perClass }, (_, i) => i % classes);
  const images = tf.tidy(() => generate(generator, generatorInput(labels, random)));
  const values = Float32Array.from(await images.data<"float32">());
  images.dispose();
  return { images: values, labels, count: labels.length };
}

async function assessDigits(digits: Digits, classifier: Weights, training: Digits): Promise<Assessment> {
  const agrees = await agreements(digits, classifier);
  const distances = (await nearestDistances(digits, training)).sort();
  return {
    count: digits.count,
    agreement: mean(agrees),
    agreementByClass: Array.from({ length: classes }, (_, label) =>
      mean(agrees.filter((_, i) => digits.labels[i] === label)),
    ),
    nearest: {
      median: distances[Math.floor(distances.length / 2)] ?? Number.NaN,
      least: distances[0] ?? Number.NaN,
    },
    spread: spread(digits),
  };
}

/** 1 where the classifier sees the label, else 0. */
async function agreements(
  { images, labels, count }: Digits,
  classifier: Weights,
): Promise<readonly number[]> {
  const seen = tf.tidy(() => tf.argMax(classify(classifier, tf.tensor2d(images, [count, pixels])), 1));
  const values = await seen.data();
  seen.dispose();
  return Array.from(values, (label, i) => (label === labels[i] ? 1 : 0));
}

/** |a − b|² = |a|² + |b|² − 2 a·b, a hundred images at a time: the table of distances to 8,000 digits is then 3 MB. */
async function nearestDistances(digits: Digits, training: Digits): Promise<Float32Array> {
  const distances = new Float32Array(digits.count);
  const all = tf.tensor2d(training.images, [training.count, pixels]);
  const transposed = tf.transpose(all);
  const squares = tf.tidy(() => tf.sum(tf.square(all), 1));
  for (let start = 0; start < digits.count; start += 100) {
    const chunk = digits.images.subarray(start * pixels, (start + 100) * pixels);
    const nearest = tf.tidy(() => {
      const images = tf.tensor2d(chunk, [chunk.length / pixels, pixels]);
      const products = tf.matMul(images, transposed);
      const least = tf.min(tf.sub(squares, tf.mul(products, 2)), 1);
      return tf.sqrt(tf.relu(tf.add(least, tf.sum(tf.square(images), 1))));
    });
    distances.set(await nearest.data<"float32">(), start);
    nearest.dispose();
  }
  tf.dispose([all, transposed, squares]);
  return distances;
}

function spread({ images, labels, count }: Digits): number {
  const means = Array.from({ length: classes }, () => new Float64Array(pixels));
  const counts = new Uint32Array(classes);
  const each = (visit: (label: number, pixel: number, value: number) => void) => {
    for (let i = 0; i < count; i++) {
      for (let pixel = 0; pixel < pixels; pixel++)
        visit(labels[i] ?? 0, pixel, images[i * pixels + pixel] ?? 0);
    }
  };
  labels.forEach((label) => counts[label]!++);
  each((label, pixel, value) => (means[label]![pixel]! += value / counts[label]!));
  let sum = 0;
  each((label, pixel, value) => (sum += (value - means[label]![pixel]!) ** 2));
  return Math.sqrt(sum / count);
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
