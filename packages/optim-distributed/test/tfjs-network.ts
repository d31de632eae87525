// The network of cases/network.ts on variables of TensorFlow.js, which differentiates it.
import * as tf from "@tensorflow/tfjs-core";
import { lengths, type Name, type Parameters, type Row } from "./cases/network.ts";

const shapes = { w1: [4, 8], b1: [8], w2: [8, 1], b2: [1] } as const;
export type Variables = { readonly [K in Name]: tf.Variable };

export function variablesOf(values: Parameters): Variables {
  const made = (Object.keys(lengths) as Name[]).map((name) => {
    const initial = tf.tensor(values[name], [...shapes[name]]);
    const variable = tf.variable(initial);
    initial.dispose();
    return [name, variable] as const;
  });
  return Object.fromEntries(made) as unknown as Variables;
}

/** Half the mean square error over the rows. */
export const lossOf =
  ({ w1, b1, w2, b2 }: Variables, rows: readonly Row[]) =>
  (): tf.Scalar => {
    const x = tf.tensor2d(rows.map((row) => [...row.x]));
    const y = tf.tensor2d(rows.map((row) => [row.y]));
    const hidden = tf.tanh(tf.add(tf.matMul(x, w1 as unknown as tf.Tensor2D), b1));
    const out = tf.add(tf.matMul(hidden as tf.Tensor2D, w2 as unknown as tf.Tensor2D), b2);
    return tf.mul(0.5, tf.mean(tf.squaredDifference(out, y)));
  };

export async function read(variables: Variables): Promise<number[]> {
  const all = await Promise.all(Object.values(variables).map((variable) => variable.data()));
  return all.flatMap((values) => [...values]);
}
