import type { ProgramKernels } from "./kernels.ts";

/** Vectors of float32, with the kernels that work on them. */
export interface VectorStore<V> {
  readonly kernels: ProgramKernels<V>;
  /**
   * A vector of `length` elements, filled with `initial`. May grow the memory, which detaches views made before.
   *
   * @throws OptimError `unsupported` where there is no memory left; nothing has changed then
   */
  allocate(length: number, initial: number): V;
  /** Gives a vector back: the next one of the same length takes its place. */
  release(vector: V): void;
  /** Makes room, so that vectors of all these lengths can be allocated without growing the memory. @throws OptimError `unsupported` */
  reserve(lengths: readonly number[]): void;
  /** The elements of a vector, to use at once: the next `allocate` or `reserve` may detach it. */
  view(vector: V): Float32Array;
  /** Releases the memory, even while somebody holds the store. Nothing else is called after it. */
  dispose(): void;
}
