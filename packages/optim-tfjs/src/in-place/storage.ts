import type { Parameter, VectorKernels } from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";

/**
 * Vectors that kernels can work on, next to a tfjs backend whose data the host can reach. What differs between tfjs-wasm and
 * tfjs-cpu; `engine.ts` is what they have in common.
 */
export interface VariableStorage<V> {
  readonly kernels: VectorKernels<V>;
  /** A vector of the parameter's length, filled with `initial`. */
  allocate(parameter: HostParameter<V>, initial: number): V;
  release(vector: V): void;
  /** The elements of a vector, to use at once. */
  view(vector: V): Float32Array;
  /** Adds scale × gradient to the accumulator, or overwrites it. Takes the gradient over; what shares its data is not written. */
  accumulate(accumulator: V, gradient: tf.Tensor, scale: number, overwrite: boolean): void;
  /** The variable's data as a vector that a kernel may write: nothing else refers to it. */
  open(variable: tf.Variable): V;
  /** Brings what was written back, where `open` made a copy. */
  close?(variable: tf.Variable, vector: V): void;
}

type HostParameter<V> = Parameter<tf.Variable, V, number>;
