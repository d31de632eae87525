import type { VectorKernels } from "@mm/optim-core/backend";
import type { Vector } from "./kernels.ts";

/** Vectors of float32, with the kernels that work on them. */
export interface VectorStore<V> {
  readonly kernels: VectorKernels<V>;
  /** A vector of `length` elements, filled with `initial` (default 0). May move the memory: views made before are detached. */
  allocate(length: number, initial?: number): V;
  /** Gives a vector back; the next one of the same length takes its place. */
  release(vector: V): void;
  /** Makes room, so that vectors of these lengths can be allocated without moving the memory. */
  reserve(lengths: readonly number[]): void;
  /** The elements of a vector, to use at once: the next `allocate` or `reserve` may detach it. */
  view(vector: V): Float32Array;
}

/** Storage in a private WebAssembly memory that grows as needed. @throws where `kernelsAvailable()` is false */
export declare function createVectorMemory(): VectorStore<Vector>;

/** The same in plain arrays with the reference kernels: what runs where WebAssembly may not be compiled. */
export declare function createVectorArrays(): VectorStore<Float32Array>;
