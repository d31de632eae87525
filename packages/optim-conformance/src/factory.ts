import type { BaseHyperparameters, Optimizer, ParametersInput, SlotOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";

/** One summand of a linear loss: ⟨parameter, gradient⟩, the sum of the elementwise products. */
export interface LinearTerm<P> {
  readonly name: string;
  readonly parameter: P;
  readonly gradient: Float32Array;
}

/** A loss closure of any backend: the kit wraps it, and never looks at what it is given. */
export type LossClosure = (pass: never) => unknown;

/** How far a result may be from the reference: `absolute + relative × |expected|`. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/** Of parameters of order 1, whose float32 operations were reordered or fused. */
export const defaultTolerance: Tolerance = { absolute: 5e-6, relative: 1e-5 };

/**
 * The part that the author of a backend supplies, for the kit and for the recorded trajectories: how to make its parameters, its optimizer and
 * a loss with a given gradient. All else the kit does through {@link Optimizer}.
 *
 * `P` is the backend's parameter (a Float32Array, a `tf.Variable`), `Loss` its loss closure, `LossValue` what a closure returns.
 */
export interface OptimizerFactory<P, Loss extends LossClosure, LossValue> {
  /** Stands in titles: `"wasm"`, `"tfjs (cpu, ops)"`. */
  readonly name: string;

  /**
   * A parameter with these values, a private copy, row-major. `shape` may be `[]` (a scalar) and may hold a 0 (an empty tensor). A backend
   * without shapes drops it.
   */
  createParameter(values: Float32Array, shape: readonly number[]): P;
  /** Frees what `createParameter` made. Leave it out where garbage collection does. */
  disposeParameter?(parameter: P): void;

  /**
   * The backend's own entry point, with nothing added: `wasmOptimizer(rule, parameters)`.
   *
   * @param options to be handed on; given where its capabilities say `slotDtypes`
   */
  createOptimizer<H extends BaseHyperparameters>(
    rule: UpdateRule<H>,
    parameters: ParametersInput<P, H>,
    options?: SlotOptions,
  ): Optimizer<Loss, LossValue, H>;

  /**
   * A closure of the loss Σ ⟨parameter, gradient⟩ over `terms`. Its gradient with respect to each of these parameters is exactly the
   * given one, NaN, ±Infinity and −0 included; parameters that are not among the terms do not occur in it. May be run several times.
   */
  linearLoss(terms: readonly LinearTerm<P>[]): Loss;
  /** The number that a closure returned, which is then freed. */
  readLoss(value: LossValue): number | Promise<number>;

  /**
   * The elements of a parameter. Only where `capabilities.transfer` is false: otherwise the kit asks the optimizer, `readParameters()`.
   */
  readParameter?(parameter: P): Promise<Float32Array>;

  /**
   * How many allocations of the backend are alive, in a unit of your choice (tensors, buffers, vectors): the kit compares counts. It
   * counts everything but what garbage collection frees; return 0 where there is nothing else.
   */
  liveAllocations(): number;

  /**
   * The storage of a parameter's elements now (an array, a buffer, `variable.dataId`): the same value as long as a step writes into it. With it the kit
   * verifies `capabilities.inPlace`; leave it out where there is nothing to be compared.
   */
  storageOf?(parameter: P): unknown;

  /**
   * How many kernels the backend, or the library below it, has run so far: operations, dispatches, calls into WebAssembly. With it the kit verifies
   * `capabilities.fused`, where the backend says it.
   */
  launches?(): number;

  /**
   * Which dimension of a parameter counts the outputs of a layer: `"last"` where `describe` says so (TensorFlow). Recorded matrices are turned for it.
   * Default `"first"`.
   */
  readonly outputs?: "first" | "last";

  /** Default {@link defaultTolerance}. `"exact"`: every result is that of the reference backend, to the bit. */
  readonly tolerance?: Tolerance | "exact";
}

/**
 * The `test` of a runner: vitest's, `node:test`'s, mocha's `it`. It takes a title and a function that throws or rejects where something is
 * wrong. Tests have to run one after the other.
 */
export interface TestFunction {
  (title: string, run: () => Promise<void>): unknown;
  /** Shows a test that does not run. */
  readonly skip?: (title: string, run: () => Promise<void>) => unknown;
}
