import type { ProgramKernels } from "@mm/optim-wasm/kernel";
import type * as tf from "@tensorflow/tfjs-core";

/**
 * Vectors that kernels can work on, next to a tfjs backend whose data the host can reach. The differences between tfjs-wasm and
 * tfjs-cpu; `engine.ts` is what they have in common.
 */
export interface VariableStorage<V> {
  readonly kernels: ProgramKernels<V>;
  /** A vector filled with `initial`. */
  allocate(length: number, initial: number): V;
  release(vector: V): void;
  /** The elements of a vector, to use at once. */
  view(vector: V): Float32Array;
  /** Brings a gradient to where `accumulate` reads it. Whatever can fail fails here. */
  receive(gradient: tf.Tensor): void;
  /** Adds scale × gradient to the accumulator, or overwrites it. Takes the gradient over; what shares its data is not written. Cannot fail. */
  accumulate(accumulator: V, gradient: tf.Tensor, scale: number, overwrite: boolean): void;
  /**
   * Makes all that `open` and `close` need for these variables, whose values stay: data that something else refers to is copied, room is
   * taken. Whatever can fail fails here, before any of them is written.
   */
  prepare(variables: readonly tf.Variable[]): void;
  /** The data of a prepared variable as a vector that a kernel may write: nothing else refers to it. Cannot fail. */
  open(variable: tf.Variable): V;
  /** Brings what was written back, where `open` made a copy. Cannot fail. */
  close?(variable: tf.Variable, vector: V): void;
  /** Frees what is not a vector. */
  dispose?(): void;
}
