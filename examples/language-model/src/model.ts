import type { Random } from "@mm-examples/gan-digits/random";
import * as tf from "@tensorflow/tfjs-core";
import { attentionOf, causalMask, crossEntropy, rmsNorm, squaredRelu } from "./operations.ts";

export interface Sizes {
  /** V: how many tokens there are. */
  readonly vocabulary: number;
  /** T: tokens that are looked at. */
  readonly context: number;
  readonly layers: number;
  /** d, of which each head has 32. */
  readonly width: number;
}

/** Variables by their names: `embedding`, `positions`, `0.query`, …, `gain`, `head`. */
export type Weights = Readonly<Record<string, tf.Variable>>;

export interface Model {
  readonly sizes: Sizes;
  readonly weights: Weights;
  /** [rows · T, V], of inputs that {@link inputOf} made. */
  logits(input: tf.Tensor2D): tf.Tensor2D;
  /** Nats for each token: the mean over all places, each of which tells the next token. */
  loss(input: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar;
  dispose(): void;
}

/** A place's input is the embeddings of its token and of the one before it, summed: two tokens are 4.9 characters. */
const lookBack = 2;
const headWidth = 32;

const { add, matMul } = tf;

/** A small transformer: norms before blocks, squared ReLU, learned positions, no biases. */
export function createModel(sizes: Sizes, random: Random): Model {
  const { context, layers, width, vocabulary } = sizes;
  const weights = createWeights(sizes, random);
  const mask = causalMask(context);
  const attention = attentionOf(context, width / headWidth, mask);
  const w = (name: string): tf.Tensor2D => weights[name] as tf.Tensor as tf.Tensor2D;

  function logits(input: tf.Tensor2D): tf.Tensor2D {
    const embedded = tf.reshape(matMul(input, w("embedding")), [-1, context, width]);
    let h: tf.Tensor2D = tf.reshape(add(embedded, w("positions")), [-1, width]);
    for (let layer = 0; layer < layers; layer++) {
      const of = (name: string): tf.Tensor2D => w(`${layer}.${name}`);
      const x = rmsNorm(h, of("attentionGain"));
      const looked = attention(matMul(x, of("query")), matMul(x, of("key")), matMul(x, of("value")));
      h = add(h, matMul(looked, of("output")));
      const y = rmsNorm(h, of("perceptronGain"));
      h = add(h, matMul(squaredRelu(matMul(y, of("up"))), of("down")));
    }
    return matMul(rmsNorm(h, w("gain")), w("head"));
  }

  return {
    sizes: { context, layers, width, vocabulary },
    weights,
    logits,
    loss: (input, targets) => crossEntropy(logits(input), targets),
    dispose: () => tf.dispose([...Object.values(weights), mask]),
  };
}

/**
 * Normal, with deviations 0.5 ÷ √(tokens in an embedding), 0.1 for positions, 1 ÷ √(inputs) for what stands first in a block. The last weights of a
 * block are 0, and so is the head: the first loss is ln V.
 */
function createWeights({ vocabulary, context, layers, width }: Sizes, random: Random): Weights {
  const weights: Record<string, tf.Variable> = {};
  const add = (name: string, shape: number[], deviation: number): void => {
    const size = tf.util.sizeFromShape(shape);
    const values = deviation === 0 ? new Float32Array(size) : random.normals(size).map((x) => x * deviation);
    weights[name] = variableOf(tf.tensor(values, shape));
  };
  const gain = (name: string): void => void (weights[name] = variableOf(tf.ones([width])));
  add("embedding", [lookBack * vocabulary, width], 0.5 / Math.sqrt(lookBack));
  add("positions", [context, width], 0.1);
  for (let layer = 0; layer < layers; layer++) {
    gain(`${layer}.attentionGain`);
    for (const name of ["query", "key", "value"]) add(`${layer}.${name}`, [width, width], width ** -0.5);
    add(`${layer}.output`, [width, width], 0);
    gain(`${layer}.perceptronGain`);
    add(`${layer}.up`, [width, 4 * width], width ** -0.5);
    add(`${layer}.down`, [4 * width, width], 0);
  }
  gain("gain");
  add("head", [width, vocabulary], 0);
  return weights;
}

function variableOf(initial: tf.Tensor): tf.Variable {
  const variable = tf.variable(initial);
  initial.dispose();
  return variable;
}

/** Texts of T tokens as [rows · T, 2 V]: a one for the token of a place, and one for the token before it in its text. */
export function inputOf(tokens: Uint16Array, { vocabulary, context }: Sizes): tf.Tensor2D {
  const columns = lookBack * vocabulary;
  const values = new Float32Array(tokens.length * columns);
  tokens.forEach((_, place) => {
    for (let back = 0; back <= Math.min(lookBack - 1, place % context); back++)
      values[place * columns + back * vocabulary + tokens[place - back]!] = 1;
  });
  return tf.tensor2d(values, [tokens.length, columns]);
}

/** [tokens, V]: a one for each token. */
export function targetsOf(tokens: Uint16Array, { vocabulary }: Sizes): tf.Tensor2D {
  const values = new Float32Array(tokens.length * vocabulary);
  tokens.forEach((token, place) => (values[place * vocabulary + token] = 1));
  return tf.tensor2d(values, [tokens.length, vocabulary]);
}
