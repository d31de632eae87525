/**
 * The kind of a parameter, from its layer. `"embedding"`: a table of vectors, one for each token; `"offset"`: of the convolution that makes the
 * offsets of a deformable one; `"flat"`: it has one dimension. A parameter may be several: the bias of a normalisation is `norm`, `bias` and `flat`.
 */
export type ParameterKind = "bias" | "norm" | "embedding" | "depthwise" | "offset" | "flat";

/** One parameter of a model. */
export interface ModelParameter<out P = unknown> {
  /** Unique in the model, and the same in the next process: states are saved under it. Parts are separated by `.` or `/`. */
  readonly name: string;
  /** The parameter that the optimizer takes. */
  readonly value: P;
  readonly kinds: readonly ParameterKind[];
  /** Its identity: equal to that of a parameter that is the same under another name. Default: `value`. */
  readonly identity?: unknown;
  /** It takes no steps until it is unfrozen. Leave it out where `value` says so itself, as a `tf.Variable` does. */
  readonly frozen?: boolean;
}

/**
 * How to read parameters from one kind of model: the plugin interface. Write one for models that are neither plain named parameters nor
 * tfjs LayersModels, and hand it in: `buildOptimWrapper(model, config, { models: [myKind], … })`.
 *
 * @example
 * ```ts
 * const denseNet: ModelKind<DenseNet, Float32Array> = {
 *   name: "DenseNet",
 *   kinds: ["bias"],
 *   accepts: (model) => model instanceof DenseNet,
 *   parameters: ({ layers }) => layers.flatMap(({ weights, bias }, i) => [
 *     { name: `${i}.weights`, value: weights, kinds: [] },
 *     { name: `${i}.bias`, value: bias, kinds: ["bias"] },
 *   ]),
 * };
 * ```
 */
export interface ModelKind<in M = never, out P = unknown> {
  /** For errors. */
  readonly name: string;
  /** The kinds that it tells. An option for any other is refused: it would do nothing. */
  readonly kinds: readonly ParameterKind[];
  readonly accepts: (model: unknown) => boolean;
  /** All of them, frozen ones too, in an order that stays the same. Moving statistics are none. */
  readonly parameters: (model: M) => Iterable<ModelParameter<P>>;
}

/** A parameter, and the kinds that its model tells. */
export interface DescribedParameter<out P> extends ModelParameter<P> {
  readonly tells: readonly ParameterKind[];
}
