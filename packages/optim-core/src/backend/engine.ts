import type { ClipGrad, OnNonFinite } from "../options.ts";
import type { Capabilities } from "../capabilities.ts";
import type { LossScaler, LossScaleSettings } from "../loss-scaler.ts";
import type { AdmittedParameter, Parameter, ParameterDescription } from "./parameter.ts";
import type { Extents } from "./program/extents.ts";
import type { Program } from "./program/program.ts";
import type { StepClip } from "./step/clip.ts";

/** The question to the check stage. */
export interface CheckRequest {
  /** p of the norm that is wanted; absent when none is. */
  readonly normType: number | undefined;
  /** Whether elements that are not finite must be found, because the step would be skipped. */
  readonly finite: boolean;
  /** Elements that are not finite count as 0 in the norm. */
  readonly ignoreNonFinite: boolean;
  /** Not finite is an error: thrown at once where the host decides, kept for the next read where a device does. */
  readonly orThrow: boolean;
  /** The scaler that is told afterwards what was found, one of the engine's own. */
  readonly lossScaler: LossScaler | undefined;
}

/** The findings of the check stage, of the raw accumulators. */
export interface Checked<S> {
  readonly norm: S | undefined;
  /** 1 when every element is finite, else 0; absent when not asked for. */
  readonly finite: S | undefined;
}

/** A parameter that takes part in a step, with the program of its group. */
export interface StepItem<P, V, S> {
  readonly parameter: Parameter<P, V, S>;
  readonly program: Program;
  /** Vectors of `program.slots`, in that order. */
  readonly slots: readonly V[];
}

/**
 * The stages of a step, in the order in which `pipeline.ts` calls them. `S` is a number where the host decides (use `hostStages`), or
 * a handle of a value that the device computes: then no stage may wait for it.
 */
export interface StepStages<P, V, S> {
  /** Measures the raw accumulators of all items together. */
  check(items: readonly StepItem<P, V, S>[], request: CheckRequest): Checked<S>;
  /** rescale ÷ loss scale: what the raw accumulators are multiplied by. */
  unscale(rescale: number, lossScale: S | undefined): S;
  /** The factor with the clip coefficient min(1, maxNorm ÷ (norm × factor + 1e-6)) multiplied in. Keeps the unscaled norm for metrics. */
  clip(factor: S, checked: Checked<S>, clipGrad: StepClip | undefined): S;
  /** Applies each item's program, and counts its step; or does neither where `checked.finite` is 0. One kernel call per item. */
  update(
    items: readonly StepItem<P, V, S>[],
    factor: S,
    checked: Checked<S>,
    clipGrad: StepClip | undefined,
  ): void;
  /**
   * Applies each item's program, and no more: no check, no count, scalar slots as they are. Programs that enter and leave an evaluation
   * point; they do not read the gradient. Where it throws, nothing has changed.
   */
  run(items: readonly StepItem<P, V, S>[]): void;
  /** The norm of the last step and the counters, as of the call. */
  readMetrics(): Promise<{ readonly gradNorm?: number; readonly steps: number; readonly skipped: number }>;
  /** Overwrites the counters, at the end of a load. */
  writeCounts(counts: { readonly steps: number; readonly skipped: number }): void;
}

/** The request for the differentiation of a loss. */
export interface GradientRequest<P, V, S> {
  /** The parameters that are not frozen; none where the closure runs for its value alone. */
  readonly parameters: readonly Parameter<P, V, S>[];
  readonly scale: number;
  readonly lossScale: S | undefined;
  readonly returnLoss: boolean;
  /** A step follows at once: what is enqueued may be held back until then, see {@link Engine.flush}. */
  readonly stepFollows: boolean;
}

/** One gradient on its way to an accumulator. `G` is the library's; it may alias anything and must not be written. */
export interface Gradients<LossValue, P, V, G, S> {
  /** The closure's own value with `returnLoss`. */
  readonly value: LossValue | undefined;
  readonly gradients: readonly (readonly [parameter: Parameter<P, V, S>, gradient: G])[];
}

/** A loss scaler with what optimizers of its backend need of it. */
export interface EngineLossScaler<S> extends LossScaler {
  /** The current scale, latched by a wrapper at the first backward of its window. */
  current(): S;
  /** Told by every step that used it: 1 when its gradients were finite, else 0. */
  record(finite: S): void;
  /** Calls of `update` so far: by them an optimizer notices that nobody updates a shared scaler. */
  readonly updates: number;
}

/**
 * The part that a backend supplies to `createOptimizer`: storage, differentiation and stages. Arguments were checked, calls come in order and
 * never after `dispose`, so implementations check nothing again but what only they can see: parameters (`describe`) and what a closure
 * returns (`differentiate`).
 *
 * The type parameters come in this order wherever they occur:
 *
 * | | is | with TensorFlow.js |
 * | --- | --- | --- |
 * | `Loss` | the closure that a user writes | `() => tf.Scalar` |
 * | `LossValue` | its result, given back with `returnLoss` | `tf.Scalar` |
 * | `P` | a parameter, the user's or the library's | `tf.Variable` |
 * | `V` | a vector that the backend keeps: an accumulator or a slot | a cell with a tensor |
 * | `G` | a gradient as the library gives it, read and never written | `tf.Tensor` |
 * | `S` | a scalar of a step: `number` where the host decides, a place on the device where the device does | `number` |
 */
export interface Engine<in Loss, out LossValue, P, V, G, S> {
  readonly backend: string;
  readonly capabilities: Capabilities;
  /** Vectors per parameter beside parameter and accumulator for which there is room. Use `Infinity` (default) for no limit. */
  readonly maxSlots?: number;
  /**
   * The operations that the kernels know, as `operationsOf` names them. Default: {@link firstOperations}, those of the first version of the rule
   * language. A rule that needs another is refused by the operation's name, at construction or at the assignment that would lead to it.
   */
  readonly operations?: ReadonlySet<string>;

  /** Shape and identity of a parameter. @throws OptimError `invalid-parameter` for anything but live float32 data */
  describe(value: P, where: string): ParameterDescription;
  /** Other ways of writing the parameters of a group than `{ name: parameter }`, as that. Anything else is left as it is. */
  named?(params: object, where: string): { readonly [name: string]: P };
  /**
   * The last word on parameters that are about to be added: refuses what only it sees of them together, or makes room for them. Core has
   * accepted them, and nothing can fail after it. Where it throws, nothing has changed.
   *
   * @throws OptimError `duplicate-parameter`, `arena-full`
   */
  admit?(added: readonly AdmittedParameter<P>[], call: string): void;
  /**
   * Makes the room that a program needs beside the slots of a parameter, of vectors that its passes hand on. Called when the parameter is added
   * and when its structure changes; a step finds the room there.
   *
   * @throws OptimError `arena-full`, `unsupported`; nothing has changed then
   */
  reserve?(program: Program, extents: Extents): void;
  /** Whether the host library has marked it as frozen. Default: never. */
  isFrozen?(value: P): boolean;

  /**
   * A vector filled with `initial`, of `length` elements: the parameter's by default, fewer for a slot per row or column.
   *
   * @param packed whether each element holds two bfloat16, of which `initial`, `write` and `read` have the bits; asked for where `capabilities.slotDtypes`
   * says so
   */
  allocate(parameter: Parameter<P, V, S>, initial: number, length?: number, packed?: boolean): V;
  /**
   * A vector with what the parameter holds now, as float32: of one that has its slot `master` already, with that. It is the initial value of slots that begin as
   * the parameter, and masters.
   *
   * @throws OptimError `invalid-parameter` where the parameter is gone
   */
  allocateCopy(parameter: Parameter<P, V, S>): V;
  release(vector: V): void;
  /** Overwrites a vector. Cannot fail. */
  write(vector: V, data: Float32Array): void;
  /** Copies, as of the call, in order: views of one ArrayBuffer (`packed` makes them). */
  read(vectors: readonly V[]): Promise<Float32Array[]>;
  /** The same without waiting. Leave it out where a device must be waited for. @throws OptimError `unsupported` */
  readSync?(vectors: readonly V[]): Float32Array[];
  readParameters(parameters: readonly Parameter<P, V, S>[]): Promise<Float32Array[]>;
  writeParameter(parameter: Parameter<P, V, S>, data: Float32Array): void;
  /** The 2-norms of vectors, as of the call, NaN or Infinity where an element is not finite. Default: they are read, and measured by the host. */
  readNorms?(vectors: readonly V[]): Promise<readonly number[]>;
  /** A scalar from a number, and numbers from scalars, as of the call. Core may give one to several parameters (a shared slot). */
  scalar(value: number): S;
  readScalars(scalars: readonly S[]): Promise<readonly number[]>;

  /**
   * Runs the closure once and differentiates with respect to `request.parameters`; where there are none, for its value alone. `scale` and `lossScale` are applied here or in `accumulate`. The closure's own value is
   * not known to anybody else: the engine refuses what it cannot use, and frees the value unless `returnLoss` asks for it. In
   * `gradients` a parameter stands at most once, and one that the loss does not reach is left out, also where the library gives zeros
   * for it. Where it throws, nothing has changed and nothing is left behind.
   *
   * @throws OptimError `invalid-loss`; `no-gradient` where the library explains why nothing was reached (core refuses it in any case)
   */
  differentiate(loss: Loss, request: GradientRequest<P, V, S>): Gradients<LossValue, P, V, G, S>;
  /**
   * Adds `scale` × gradient to `parameter.accumulator` (made beforehand); overwrites it when nothing is pending, which the caller marks
   * after. Lets go of the gradient. Work that may fail is done by `differentiate`.
   */
  accumulate(parameter: Parameter<P, V, S>, gradient: G, request: GradientRequest<P, V, S>): void;
  /** Lets go of a gradient that is not accumulated, since there is no room for its accumulator. Default: garbage collection does. */
  discard?(gradient: G): void;

  readonly stages: StepStages<P, V, S>;
  /**
   * Refuses or compiles a program: at construction, at the assignment that leads to another structure, and in the step that is the first
   * to need it with clipping by value. Called often with what it knows.
   *
   * @param masters whether it runs on parameters with a `master`
   * @throws OptimError `unsupported`
   */
  prepareProgram?(program: Program, masters: boolean): void;
  /** State that is not in slots (a wrapped optimizer of a host library), as of the call; and what installs it, which cannot fail. */
  readNative?(): Promise<{ readonly [name: string]: Float32Array }>;
  /** @throws OptimError `invalid-state`, `state-mismatch` */
  prepareNative?(native: { readonly [name: string]: Float32Array }): () => void;
  createLossScaler(settings: LossScaleSettings): EngineLossScaler<S>;
  readonly context?: <T>(options: { readonly sync: boolean }, run: () => T) => T;
  /** Enqueues what was held back for a step. Called when a step has ended, whatever came of it, and by `zeroGrad`. Cannot fail. */
  flush?(): void;
  /** Frees what is not a vector. Vectors were released before. */
  dispose?(): void;
}

/** An engine without what knows losses and gradients. */
export type StateEngine<P, V, S> = Omit<
  Engine<never, unknown, P, V, never, S>,
  "differentiate" | "accumulate" | "context"
>;

/** Options of a step, filled in. */
export interface ResolvedStep<S> {
  readonly rescale: number;
  readonly lossScale: S | undefined;
  readonly lossScaler: LossScaler | undefined;
  readonly clipGrad: ClipGrad | undefined;
  readonly onNonFinite: OnNonFinite;
  readonly gradNorm: boolean;
}
