// Models of tfjs-layers, and variables of one's own.
import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";
import { type LayersModel, layers, sequential } from "@tensorflow/tfjs-layers";

const dense = (units: number): LayersModel =>
  sequential({ layers: [layers.dense({ units, inputShape: [3] })] });

export const model: LayersModel = dense(1);
export const body: LayersModel = dense(3);
export const w: tf.Variable = tf.variable(tf.ones([3, 1]));
export const b: tf.Variable = tf.variable(tf.zeros([1]));
export const variables: readonly tf.Variable[] = [tf.variable(tf.ones([3, 1])), tf.variable(tf.zeros([1]))];

/** [8, 3] and [8, 1]. */
export const x: tf.Tensor2D = tf.randomNormal([8, 3], 0, 1, "float32", 1);
export const y: tf.Tensor2D = tf.randomNormal([8, 1], 0, 1, "float32", 2);
