import { getWebGPUDevice, type numpy as np } from "@jax-js/jax";
import { arrayOf, bufferOf, copyBuffer, copyOf, type JaxDevice } from "./arrays.ts";
import { requireOwnBuffers } from "./probe.ts";

/** The content of a variable. */
export interface Cell {
  readonly device: JaxDevice;
  readonly shape: readonly number[];
  /** The array that a loss is differentiated with respect to. On webgpu steps write into its buffer, so it is never handed out. */
  readonly array: np.Array;
  /** An array of the values as they are now, which nothing changes; the caller's to consume. */
  read(): np.Array;
  /** Takes over the values of an array, and consumes it. */
  assign(array: np.Array): void;
  readonly disposed: boolean;
  dispose(): void;
}

/** On the CPU: arrays are immutable, so it holds one after another. */
export class ArrayCell implements Cell {
  readonly device: JaxDevice;
  readonly shape: readonly number[];
  array: np.Array;
  disposed = false;

  constructor(array: np.Array, device: JaxDevice) {
    this.array = array;
    this.device = device;
    this.shape = array.shape;
  }

  read(): np.Array {
    return this.array.ref;
  }

  assign(array: np.Array): void {
    this.array.dispose();
    this.array = array;
  }

  write(data: Float32Array): void {
    this.assign(arrayOf(data, this.shape, this.device));
  }

  dispose(): void {
    this.disposed = true;
    this.array.dispose();
  }
}

/**
 * On webgpu: a buffer that nothing else refers to, so that steps may write into it. An array that somebody has, or that an expression which
 * was not computed yet refers to, is another one.
 */
export class BufferCell implements Cell {
  readonly device = "webgpu";
  readonly shape: readonly number[];
  readonly array: np.Array;
  readonly buffer: GPUBuffer;
  readonly gpu: GPUDevice;
  disposed = false;
  /** A copy of the values as they are now, if anybody asked for it since they changed. */
  #copy: np.Array | undefined;

  constructor(array: np.Array) {
    this.gpu = getWebGPUDevice();
    requireOwnBuffers(this.gpu);
    this.shape = array.shape;
    this.array = copyOf(bufferOf(array), this.shape, this.gpu);
    this.buffer = bufferOf(this.array);
    array.dispose();
  }

  read(): np.Array {
    this.#copy ??= copyOf(this.buffer, this.shape, this.gpu);
    return this.#copy.ref;
  }

  assign(array: np.Array): void {
    copyBuffer(this.gpu, bufferOf(array), this.buffer, 4 * array.size);
    array.dispose();
    this.written();
  }

  /** The buffer has other values now. */
  written(): void {
    this.#copy?.dispose();
    this.#copy = undefined;
  }

  dispose(): void {
    this.disposed = true;
    this.written();
    this.array.dispose();
  }
}
