import type { HyperparameterGroup } from "./groups.ts";
import type { MatrixView, Outputs } from "./program/extents.ts";

/**
 * One parameter and all that an optimizer keeps for it. `P` is the host's parameter (a Float32Array, a tf.Variable), `V` a vector in
 * the backend's storage, `S` a scalar where the backend decides: a number on the host, something readable later on a device.
 */
export interface Parameter<P, V, S> {
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
  /** It as a matrix. */
  readonly view: MatrixView;
  readonly value: P;
  /** See {@link ParameterDescription}. */
  readonly identity: unknown;
  /** See {@link ParameterDescription}. */
  readonly master?: boolean;
  readonly group: HyperparameterGroup;
  frozen: boolean;
  /** Made at the first gradient and kept. Its contents count only while `pending`. */
  accumulator: V | undefined;
  pending: boolean;
  /** Steps taken. */
  step: S;
  /** Whether it was in a step that was enqueued, skipped or not: from then on it has its slots. */
  stepped: boolean;
  /** Slots are made when a structure first needs them, and never dropped: a slot that is switched off keeps its value. */
  readonly slots: Map<string, V>;
  readonly scalarSlots: Map<string, S>;
}

/** A backend's description of a parameter. */
export interface ParameterDescription {
  readonly shape: readonly number[];
  /**
   * Which dimension counts the outputs of a layer, where it has two dimensions or more: the rows of a rule. `"last"` where dense kernels are
   * [inputs, outputs] (TensorFlow). Default `"first"` (PyTorch).
   */
  readonly outputs?: Outputs;
  /**
   * Its identity, equal to that of the same parameter in another optimizer of this backend: an array, a variable; or a string that names a
   * buffer and an offset.
   */
  readonly identity: unknown;
  /**
   * Whether it is stored in less than float32. Then the optimizer keeps its elements in float32 too, in a slot named `master` that begins
   * with what the parameter holds (`Engine.allocateCopy`), and the engine rounds what a step or `Engine.write` puts there. Default `false`.
   */
  readonly master?: boolean;
}

export interface NamedParameter<P> extends ParameterDescription {
  readonly name: string;
  readonly length: number;
  readonly view: MatrixView;
  readonly value: P;
}

/** A parameter that is about to be added to an optimizer. */
export interface AdmittedParameter<P> extends NamedParameter<P> {
  /** Tells which slots it has (`initialSlots()`), and which it may come to have (`everySlot`). */
  readonly group: HyperparameterGroup;
}

/** The elements of a shape. */
export function lengthOf(shape: readonly number[]): number {
  return shape.reduce((length, side) => length * side, 1);
}
