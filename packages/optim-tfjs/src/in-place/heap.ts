import { kernelsAvailable, type Vector, type WasmMemory, wasmKernels } from "@mm/optim-wasm/kernel";
import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "../scope.ts";
import { filled, writeVariable } from "../transfer.ts";
import type { VariableStorage } from "./storage.ts";

/** The private parts of tfjs-wasm that are used: its memory, where in it a tensor is, and its kernels' register of tensors. */
interface WasmBackend {
  readonly wasm?: {
    readonly asm?: { readonly memory?: WasmMemory };
    /** The threaded build imports its memory, and exports none. */
    readonly wasmMemory?: WasmMemory;
    readonly tfjs?: {
      registerTensor(id: number, size: number, memoryOffset: number): void;
      disposeData(id: number): void;
    };
  };
  readonly dataIdMap?: { get(dataId: object): TensorRecord };
  refCount(dataId: object): number;
}

interface TensorRecord {
  readonly id: number;
  readonly memoryOffset: number;
}

/** A vector on tfjs's heap: a tensor of its own, kept until it is released. */
interface HeapVector extends Vector {
  pointer: number;
  tensor: tf.Tensor;
}

/**
 * tfjs-wasm: kernels on tfjs's own heap, in place. Accumulators and slots are tensors there, made once; a step allocates none.
 *
 * @returns `undefined` where the backend's private parts are not as expected
 */
export function heapStorage(backend: object): VariableStorage<Vector> | undefined {
  const { wasm, dataIdMap } = backend as Partial<WasmBackend>;
  const memory = wasm?.asm?.memory ?? wasm?.wasmMemory;
  if (memory?.buffer === undefined || dataIdMap === undefined || !kernelsAvailable()) return undefined;
  if (wasm?.tfjs?.registerTensor === undefined) return undefined;
  const storage = (): VariableStorage<Vector> => new HeapStorage(backend as WasmBackend, memory);
  try {
    return probed(backend as WasmBackend, memory) ? storage() : undefined;
  } catch {
    return undefined;
  }
}

/** Looks whether a tensor is where it is thought to be. */
function probed(backend: WasmBackend, memory: WasmMemory): boolean {
  return scoped(() => {
    const values = [1.5, -2.25, 3];
    const tensor = tf.tensor1d(values);
    const found = new Float32Array(memory.buffer, addressOf(backend, tensor), values.length);
    if (!values.every((value, index) => value === found[index])) return false;
    return Number.isInteger(recordOf(backend, tensor).id) && backend.refCount(tensor.dataId) === 1;
  });
}

function addressOf(backend: WasmBackend, tensor: tf.Tensor): number {
  return recordOf(backend, tensor).memoryOffset;
}

function recordOf({ dataIdMap }: WasmBackend, { dataId }: tf.Tensor): TensorRecord {
  return (dataIdMap as NonNullable<WasmBackend["dataIdMap"]>).get(dataId);
}

/** Of room for kernels, in bytes. */
const alignment = 16;

class HeapStorage implements VariableStorage<Vector> {
  readonly kernels: VariableStorage<Vector>["kernels"];
  readonly #backend: WasmBackend;
  readonly #memory: WasmMemory;
  #room: tf.Tensor | undefined;

  constructor(backend: WasmBackend, memory: WasmMemory) {
    this.#backend = backend;
    this.#memory = memory;
    const room = (bytes: number): number => this.#roomOf(bytes);
    this.kernels = wasmKernels(memory, { shared: isShared(memory.buffer), room });
  }

  allocate(length: number, initial: number): HeapVector {
    const tensor = tf.keep(filled([length], initial));
    return { ...this.#vector(tensor), tensor };
  }

  release(vector: Vector): void {
    (vector as HeapVector).tensor.dispose();
  }

  view({ pointer, length }: Vector): Float32Array {
    return new Float32Array(this.#memory.buffer, pointer, length);
  }

  receive(gradient: tf.Tensor): void {
    recordOf(this.#backend, gradient);
  }

  accumulate(accumulator: Vector, gradient: tf.Tensor, scale: number, overwrite: boolean): void {
    const vector = this.#vector(gradient);
    if (overwrite && scale === 1 && this.#isOwned(gradient)) {
      // Nobody else has this gradient: it becomes the accumulator, and saves a pass.
      (accumulator as HeapVector).tensor.dispose();
      Object.assign(accumulator, vector, { tensor: tf.keep(gradient) });
    } else {
      this.kernels.accumulate(accumulator, vector, scale, overwrite);
      gradient.dispose();
    }
  }

  prepare(variables: readonly tf.Variable[]): void {
    for (const variable of variables) {
      // Looked up first: where another backend has the data, that brings it here.
      const vector = this.#vector(variable);
      // A clone or a reshape, or the tensor that it was made from, shares the data and must keep its values.
      if (!this.#isOwned(variable)) writeVariable(variable, this.view(vector));
    }
  }

  open(variable: tf.Variable): Vector {
    return this.#vector(variable);
  }

  dispose(): void {
    this.#room?.dispose();
    this.#room = undefined;
  }

  /**
   * tfjs's kernels pack weights once per tensor (matMul, convolutions, biases) and go on with the packed copy. Taking the tensor off
   * their register drops what was packed; its memory and its number stay.
   */
  close(variable: tf.Variable): void {
    const { id, memoryOffset } = recordOf(this.#backend, variable);
    const register = this.#backend.wasm?.tfjs;
    register?.disposeData(id);
    register?.registerTensor(id, variable.size, memoryOffset);
  }

  /** Room for kernels: one tensor, which grows. */
  #roomOf(bytes: number): number {
    const before = this.#room;
    if (before === undefined || 4 * before.size < bytes + alignment) {
      if (bytes === 0) return 0;
      this.#room = tf.keep(filled([Math.ceil((bytes + alignment) / 4)], 0));
      before?.dispose();
    }
    return Math.ceil(addressOf(this.#backend, this.#room as tf.Tensor) / alignment) * alignment;
  }

  #isOwned({ dataId }: tf.Tensor): boolean {
    return this.#backend.refCount(dataId) === 1;
  }

  #vector(tensor: tf.Tensor): Vector {
    return { pointer: addressOf(this.#backend, tensor), length: tensor.size };
  }
}

function isShared(buffer: ArrayBufferLike): boolean {
  return typeof SharedArrayBuffer !== "undefined" && buffer instanceof SharedArrayBuffer;
}
