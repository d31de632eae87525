import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers"; // registers the gradients
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, it } from "vitest";
import { attentionOf, causalMask, crossEntropy, rmsNorm, squaredRelu } from "../src/operations.ts";

beforeAll(() => tf.setBackend("cpu"));

const context = 5;
const heads = 2;
const mask = causalMask(context);
const matrix = (rows: number, columns: number, seed: number): tf.Tensor =>
  tf.randomNormal([rows, columns], 0, 1, "float32", seed);
const oneHot = (rows: number): tf.Tensor =>
  tf.tidy(() => tf.cast(tf.oneHot(tf.range(0, rows, 1, "int32"), rows + 2), "float32"));

/** Each by tfjs's own operations, whose gradients tfjs knows, as the papers write it. */
const plain = {
  rmsNorm: (x: tf.Tensor, gain: tf.Tensor) =>
    tf.mul(tf.div(x, tf.sqrt(tf.add(tf.mean(tf.square(x), 1, true), 1e-5))), gain),
  squaredRelu: (x: tf.Tensor) => tf.square(tf.relu(x)),
  crossEntropy: (z: tf.Tensor, y: tf.Tensor) => tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(z), y), 1))),
  attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) {
    const split = (x: tf.Tensor): tf.Tensor =>
      tf.transpose(tf.reshape(x, [-1, context, heads, x.shape[1]! / heads]), [0, 2, 1, 3]);
    const scores = tf.mul(tf.matMul(split(q), split(k), false, true), (q.shape[1]! / heads) ** -0.5);
    const looked = tf.matMul(tf.softmax(tf.add(scores, mask)), split(v));
    return tf.reshape(tf.transpose(looked, [0, 2, 1, 3]), [-1, q.shape[1]!]);
  },
};

describe.each<
  [string, (...inputs: never) => tf.Tensor, (...inputs: never) => tf.Tensor, tf.Tensor[], number]
>([
  ["rmsNorm", rmsNorm, plain.rmsNorm, [matrix(6, 8, 1), tf.randomNormal([8], 1, 0.1, "float32", 2)], 2],
  ["squaredRelu", squaredRelu, plain.squaredRelu, [matrix(6, 8, 3)], 1],
  ["crossEntropy", crossEntropy, plain.crossEntropy, [matrix(6, 8, 4), oneHot(6)], 1],
  [
    "attention",
    attentionOf(context, heads, mask),
    plain.attention,
    [matrix(15, 8, 5), matrix(15, 8, 6), matrix(15, 8, 7)],
    3,
  ],
])("%s", (_, ours, theirs, inputs, differentiated) => {
  /** The value, weighed unevenly, and the gradients of the first inputs. */
  const results = (of: (...inputs: never) => tf.Tensor): readonly number[][] =>
    tf.tidy(() => {
      const { value, grads } = tf.valueAndGrads((...some: tf.Tensor[]) => {
        const result = of(...([...some, ...inputs.slice(differentiated)] as never));
        return tf.sum(tf.mul(result, tf.reshape(tf.cos(tf.range(0, result.size)), result.shape)));
      })(inputs.slice(0, differentiated));
      return [value, ...grads].map((tensor) => [...tensor.dataSync()]);
    });

  it("has the value and the gradients of its formula", () => {
    const [mine, expected] = [results(ours), results(theirs)];
    expect(mine.length).toBe(1 + differentiated);
    // Sums of a few dozen numbers around 1 in another order: some 1e-6.
    mine.forEach((values, part) => {
      values.forEach((value, at) => expect(value).toBeCloseTo(expected[part]![at]!, 4));
    });
    expect(Math.max(...mine.flat().map(Math.abs))).toBeGreaterThan(0.1);
  });
});
