import { packed } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "./scope.ts";

/** Copies of tensors as of the call, in order: views of one ArrayBuffer. Waits for the device. */
export async function readTensors(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  return packed(await Promise.all(tensors.map((tensor) => elementsOf(tensor))));
}

/**
 * The elements of a tensor as of the call. Its data stay until they are there, whoever disposes of it: tfjs-webgpu looks for them once more when
 * a read arrives, and fails where they are gone.
 */
export async function elementsOf<D extends keyof tf.DataTypeMap = "float32">(
  tensor: tf.Tensor,
): Promise<tf.DataTypeMap[D]> {
  const held = tf.keep(tensor.clone());
  try {
    return await held.data<D>();
  } finally {
    held.dispose();
  }
}

/** Overwrites a variable, by a copy of the data. */
export function writeVariable(variable: tf.Variable, data: Float32Array): void {
  scoped(() => variable.assign(tensorOf(data, variable.shape)));
}

/** A tensor of one value. */
export function filled(shape: readonly number[], value: number): tf.Tensor {
  return tf.fill(shape.slice(), value);
}

/**
 * A tensor of a copy of the data: tfjs-cpu keeps the very array that it is given. Not `tf.tensor`, which in tfjs's debug mode refuses NaN and
 * infinities. These are values that there are already, on their way from one place to another.
 */
export function tensorOf(data: Float32Array, shape: readonly number[]): tf.Tensor {
  return tf.engine().makeTensor(data.slice(), [...shape], "float32");
}
