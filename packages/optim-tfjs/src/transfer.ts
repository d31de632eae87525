import { packed } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "./scope.ts";

/** Copies of tensors as of the call, in order: views of one ArrayBuffer. Waits for the device. */
export async function readTensors(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  return packed(await Promise.all(tensors.map((tensor) => tensor.data<"float32">())));
}

/** Overwrites a variable. The data is copied: tfjs-cpu keeps the very array that it is given. */
export function writeVariable(variable: tf.Variable, data: Float32Array): void {
  scoped(() => variable.assign(tensorOf(data, variable.shape)));
}

/** A tensor of one value. */
export function filled(shape: readonly number[], value: number): tf.Tensor {
  return tf.fill(shape.slice(), value);
}

export function tensorOf(data: Float32Array, shape: readonly number[]): tf.Tensor {
  return tf.tensor(data.slice(), [...shape], "float32");
}
