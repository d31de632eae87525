import { memo } from "@mm/optim-core/backend";
import { availableVectorMemory, createVectorArrays, type VectorStore } from "@mm/optim-wasm/kernel";
import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "../scope.ts";
import { writeVariable } from "../transfer.ts";
import type { VariableStorage } from "./storage.ts";

/** The private parts of tfjs-cpu that are used: the typed array of a tensor. */
interface CpuBackend {
  readonly data?: { get(dataId: object): { values: unknown } };
  refCount(dataId: object): number;
}

/**
 * tfjs-cpu: kernels in a private WebAssembly memory, or the reference evaluation where compiling is forbidden. Accumulators and slots
 * stay there; a step copies each variable in and out.
 *
 * @returns `undefined` where the backend's private parts are not as expected
 */
export function arrayStorage(backend: object): VariableStorage<unknown> | undefined {
  try {
    if (!probed(backend as CpuBackend)) return undefined;
  } catch {
    return undefined;
  }
  const memory = availableVectorMemory();
  return memory
    ? new ArrayStorage(backend as CpuBackend, memory)
    : new ArrayStorage(backend as CpuBackend, createVectorArrays());
}

/** Looks whether a tensor's values are where they are thought to be. */
function probed(backend: CpuBackend): boolean {
  return scoped(() => {
    const values = Float32Array.of(1.5, -2.25, 3);
    const tensor = tf.tensor1d(values);
    const found = recordOf(backend, tensor).values;
    return (
      found instanceof Float32Array &&
      found.length === 3 &&
      found[1] === -2.25 &&
      backend.refCount(tensor.dataId) === 1
    );
  });
}

function recordOf({ data }: CpuBackend, { dataId }: tf.Tensor): { values: unknown } {
  return (data as NonNullable<CpuBackend["data"]>).get(dataId);
}

class ArrayStorage<V> implements VariableStorage<V> {
  readonly kernels: VariableStorage<V>["kernels"];
  readonly #backend: CpuBackend;
  readonly #store: VectorStore<V>;
  /** One vector per length, for what is copied in. */
  readonly #scratch = new Map<number, V>();
  /** The arrays that the variables of a step will have after it. */
  readonly #next = new Map<tf.Variable, Float32Array>();

  constructor(backend: CpuBackend, store: VectorStore<V>) {
    this.#backend = backend;
    this.#store = store;
    this.kernels = store.kernels;
  }

  allocate(length: number, initial: number): V {
    return this.#store.allocate(length, initial);
  }

  release(vector: V): void {
    this.#store.release(vector);
  }

  view(vector: V): Float32Array {
    return this.#store.view(vector);
  }

  receive(gradient: tf.Tensor): void {
    gradient.dataSync();
    this.#scratchOf(gradient.size);
  }

  accumulate(accumulator: V, gradient: tf.Tensor, scale: number, overwrite: boolean): void {
    // tfjs-cpu hands out the array itself.
    const values = gradient.dataSync<"float32">();
    if (!overwrite) this.kernels.accumulate(accumulator, this.#copy(values), scale, false);
    else {
      this.view(accumulator).set(values);
      if (scale !== 1) this.kernels.accumulate(accumulator, accumulator, scale, true);
    }
    gradient.dispose();
  }

  /**
   * Each variable gets a new array: the old one may be in other hands, since `tf.tensor(array)` keeps the caller's array and `dataSync()`
   * gives out its own.
   */
  prepare(variables: readonly tf.Variable[]): void {
    this.#next.clear();
    for (const variable of variables) {
      const values = variable.dataSync<"float32">();
      this.#scratchOf(values.length);
      // A clone or a reshape, or the tensor that it was made from, shares the data and must keep its values.
      if (this.#backend.refCount(variable.dataId) !== 1) writeVariable(variable, values);
      this.#next.set(variable, new Float32Array(values.length));
    }
  }

  open(variable: tf.Variable): V {
    return this.#copy(variable.dataSync<"float32">());
  }

  close(variable: tf.Variable, vector: V): void {
    const next = this.#next.get(variable) as Float32Array;
    next.set(this.view(vector));
    recordOf(this.#backend, variable).values = next;
    this.#next.delete(variable);
  }

  #copy(values: Float32Array): V {
    const vector = this.#scratchOf(values.length);
    this.view(vector).set(values);
    return vector;
  }

  #scratchOf(length: number): V {
    return memo(this.#scratch, length, () => this.#store.allocate(length, 0));
  }
}
