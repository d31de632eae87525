import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import type { TfjsOptimizerOptions } from "@mm/optim-tfjs";

setThreadsCount(1);
// Without the advertisement that tfjs-cpu prints in Node.
tf.enableProdMode();

export interface ExecutionPath {
  readonly name: string;
  readonly backend: string;
  readonly options: TfjsOptimizerOptions;
  /** Fused kernels: equal to the reference to the bit. */
  readonly inPlace: boolean;
}

export const paths: readonly ExecutionPath[] = [
  { name: "tfjs-wasm, in place", backend: "wasm", options: {}, inPlace: true },
  { name: "tfjs-cpu, in place", backend: "cpu", options: {}, inPlace: true },
  { name: "tfjs-wasm, by ops", backend: "wasm", options: { lowering: "ops" }, inPlace: false },
  { name: "tfjs-cpu, by ops", backend: "cpu", options: { lowering: "ops" }, inPlace: false },
];

/** Makes the backend of a path the active one. */
export async function use({ backend }: { readonly backend: string }): Promise<void> {
  if (!(await tf.setBackend(backend))) throw new Error(`no ${backend} backend`);
}

/** A loss whose gradient at each variable is exactly the given one: Σ variable × gradient. */
export function linearLoss(
  variables: { readonly [name: string]: tf.Variable },
  gradients: { readonly [name: string]: readonly number[] | Float32Array },
): () => tf.Scalar {
  return () =>
    Object.entries(gradients)
      .map(([name, gradient]): tf.Scalar => {
        const variable = variables[name] as tf.Variable;
        return tf.sum(tf.mul(variable, tf.tensor(gradient, variable.shape)));
      })
      .reduce((a, b) => tf.add(a, b));
}
