import { numpy as np } from "@jax-js/jax";

/** The devices of jax-js on which optimizers run. */
export type JaxDevice = "webgpu" | "wasm" | "cpu";

/** A copy of `data` as an array on a device. */
export function arrayOf(data: Float32Array, shape: readonly number[], device: JaxDevice): np.Array {
  const options = { shape: [...shape], dtype: np.float32, device };
  // np.array refuses arrays without elements.
  return data.length === 0 ? np.zeros(options.shape, options) : np.array(data, options);
}

/** A number in memory. jax-js compiles a constant into the kernels that use it, so that each other one would compile them anew. */
export function scalarOf(value: number, device: JaxDevice): np.Array {
  // Two elements that differ are no constant.
  return np.array(Float32Array.of(value, value === 0 ? 1 : 0), { dtype: np.float32, device }).slice(0);
}

/** A copy of an array's elements, which leaves the array as it is. Where it was not computed, it is now. */
export function dataOf(array: np.Array): Float32Array {
  return array.ref.dataSync() as Float32Array;
}

/**
 * The buffer of an array on webgpu, which leaves the array as it is: all that computes it is submitted. As long as somebody has the array,
 * jax-js gives the buffer to nobody else.
 */
export function bufferOf(array: np.Array): GPUBuffer {
  return array.ref.gpuBufferSync();
}

/** An array in a buffer of its own, which nothing else refers to, with what is in `source` when commands run that are submitted now. */
export function copyOf(source: GPUBuffer, shape: readonly number[], device: GPUDevice): np.Array {
  const copy = np.zeros([...shape], { dtype: np.float32, device: "webgpu" });
  copyBuffer(device, source, bufferOf(copy), 4 * copy.size);
  return copy;
}

export function copyBuffer(device: GPUDevice, from: GPUBuffer, to: GPUBuffer, bytes: number): void {
  if (bytes === 0) return;
  const encoder = device.createCommandEncoder({ label: "optim jax copy" });
  encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
  device.queue.submit([encoder.finish()]);
}
