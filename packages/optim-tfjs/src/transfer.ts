import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "./scope.ts";

/** Copies of tensors as of the call, in order: views of one ArrayBuffer. Waits for the device. */
export async function readTensors(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  return packed(await Promise.all(tensors.map((tensor) => tensor.data<"float32">())));
}

/** Copies of arrays, in order, as views of one ArrayBuffer. */
export function packed(arrays: readonly Float32Array[]): Float32Array[] {
  const all = new Float32Array(arrays.reduce((length, array) => length + array.length, 0));
  let start = 0;
  return arrays.map((array) => {
    const view = all.subarray(start, (start += array.length));
    view.set(array);
    return view;
  });
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
