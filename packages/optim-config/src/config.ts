import type {
  BaseHyperparameters,
  ClipGradAdaptive,
  ClipGradByNorm,
  ClipGradByValue,
  HyperparameterValue,
  LossScale,
  OnNonFinite,
  SlotStorage,
} from "@mm/optim-core";
import type { HyperparameterPath, Schedule, WrapperPath } from "@mm/optim-schedule";
import type { Matcher } from "./matcher.ts";
import type { RuleHyperparameters, RuleName, RuleRegistry, ScheduleRegistry } from "./registry.ts";

/**
 * One optimizer wrapper, as plain JSON. `R` is the registry of rules that it is written for, `T` the name of its rule, `S` the registry of
 * schedules: with registries of known types, unknown names and options do not compile.
 */
export interface OptimWrapperConfig<
  R extends RuleRegistry = RuleRegistry,
  T extends RuleName<R> = RuleName<R>,
  S extends ScheduleRegistry = ScheduleRegistry,
> extends WrapperSettings {
  /** The update rule, by its name in the registry, and its hyperparameters; those that are absent have the rule's defaults. */
  readonly optimizer: OptimizerConfig<R, T>;
  /** Options for single parameters: MMEngine's, or a list of rules that are all followed. Absent: one group of all parameters. */
  readonly paramwise?:
    | Paramwise<RuleHyperparameters<R[T]>>
    | readonly ParamRule<RuleHyperparameters<R[T]>, AnyOptimizerConfig<NoInfer<R>>>[];
  /** Smaller learning rates for layers that are further from the output. Factors of `paramwise` multiply them, too. */
  readonly layerDecay?: LayerDecay;
  /** By hyperparameter (`lr`, `momentum`, `betas[0]`) a schedule, or several, each of which begins with what the one before it made. */
  readonly schedules?: SchedulesConfig<RuleHyperparameters<R[T]>, S>;
}

export type SchedulesConfig<H, S extends ScheduleRegistry> = BaseHyperparameters extends H
  ? { readonly [path: string]: ScheduleConfig<S> | readonly ScheduleConfig<S>[] }
  : {
      readonly [P in HyperparameterPath<H> | WrapperPath]?: ScheduleConfig<S> | readonly ScheduleConfig<S>[];
    };

/** A schedule by its name in the registry, with its options; those of a schedule that is made of others (`sequence`) are written alike. */
export type ScheduleConfig<S extends ScheduleRegistry> = {
  readonly [K in keyof S & string]: { readonly type: K } & ConvertedSchedule &
    Written<ScheduleOptionsOf<S[K]>, S>;
}[keyof S & string];

interface ConvertedSchedule {
  /** Beside `by: "epoch"`: it moves at every update, as `byEpoch` of `@mm/optim-schedule` does. `buildScheduler` needs `updatesPerEpoch` for it. */
  readonly convertToUpdates?: boolean;
}

/** Options in JSON. */
type Written<O, S extends ScheduleRegistry> = {
  [K in keyof O]: O[K] extends readonly Schedule[] ? readonly ScheduleConfig<S>[] : O[K];
};

type ScheduleOptionsOf<Factory extends ScheduleRegistry[string]> = [Parameters<Factory>[0]] extends [never]
  ? object
  : Parameters<Factory>[0];

export type OptimizerConfig<R extends RuleRegistry, T extends RuleName<R>> = {
  readonly type: T;
  /** Rules around it (`ema`, `lookahead`, `cautious`), the innermost first: functions of the registry that take a rule and options. */
  readonly wrap?: readonly RuleAround[];
} & Partial<Readonly<RuleHyperparameters<R[T]>>>;

/** A rule around another, by its name in the registry, and its own hyperparameters. */
export type RuleAround = { readonly type: string } & {
  readonly [hyperparameter: string]: HyperparameterValue | string;
};

/** Any rule of a registry with its hyperparameters. */
export type AnyOptimizerConfig<R extends RuleRegistry = RuleRegistry> = {
  readonly [T in RuleName<R>]: OptimizerConfig<R, T>;
}[RuleName<R>];

/** The fields that every rule has. */
export interface WrapperSettings {
  /** Where an editor finds the schema. Not read. */
  readonly $schema?: string;
  /** Backward calls per step. Default 1. */
  readonly accumulativeCounts?: number;
  readonly clipGrad?: ClipGradByNormConfig | ClipGradByValue | ClipGradAdaptiveConfig;
  /** Absent: plain single precision. */
  readonly lossScale?: LossScale;
  /** Not beside `lossScale`. Default `"propagate"`. */
  readonly onNonFinite?: OnNonFinite;
  /** Measure the gradient norm although nothing clips by it. Default `false`. */
  readonly gradNorm?: boolean;
  readonly scaleLr?: ScaleLr;
  /** `"bfloat16"`: slots take 2 bytes of each element and not 4, all or some by name: {@link SlotOptions}. Default `"float32"`. */
  readonly slotDtype?: SlotStorage;
}

/** {@link ClipGradByNorm} in JSON, which has no Infinity. */
export type ClipGradByNormConfig = Omit<ClipGradByNorm, "normType" | "clipValue"> & {
  /** `"inf"`: the largest absolute value. Default 2. */
  readonly normType?: number | "inf";
};

/** {@link ClipGradAdaptive} in JSON. */
export type ClipGradAdaptiveConfig = Omit<ClipGradAdaptive, "clipValue">;

/**
 * Multiplies every learning rate, those of groups and the base rate too, by `batchSize` × `accumulativeCounts` ÷ `baseBatchSize`
 * (Goyal et al., arXiv:1706.02677, section 2.1). Schedules start from the product.
 */
export interface ScaleLr {
  /** The samples per step that the learning rates were written for. */
  readonly baseBatchSize: number;
  /** The samples of one backward call, over all replicas. */
  readonly batchSize: number;
}

/** Factors and hyperparameters for some of the parameters. */
export type ParamOptions<H> = {
  /** Times the learning rate. */
  readonly lrMult?: number;
  /** Times the weight decay. */
  readonly decayMult?: number;
} & Partial<Readonly<H>>;

/**
 * MMEngine's `paramwise_cfg`, with its results: one group per parameter, named after it. Factors need the value that they multiply to be
 * written in `optimizer`. For each parameter the first line that fits decides, so a custom key switches all other options off:
 *
 * ```text
 * lr      offset of a deformable convolution → dcnOffsetLrMult;  bias, not of a normalisation → biasLrMult
 * decay   normalisation → normDecayMult;  bias → biasDecayMult;  depthwise convolution → dwconvDecayMult;  one dimension → flatDecayMult
 * ```
 */
export interface Paramwise<H = object> {
  /**
   * Options by a part of the name; the longest key that a name contains wins, among equally long ones the first by alphabet. A name
   * without a dot is searched as if it began with one.
   */
  readonly customKeys?: { readonly [key: string]: ParamOptions<H> };
  readonly biasLrMult?: number;
  readonly biasDecayMult?: number;
  readonly normDecayMult?: number;
  readonly dwconvDecayMult?: number;
  readonly dcnOffsetLrMult?: number;
  readonly flatDecayMult?: number;
  /** A parameter that is there under a second name counts once, by its first. Without this it is an error. */
  readonly bypassDuplicate?: boolean;
}

/**
 * One rule of the list that does not drop rules: every rule that matches a parameter is followed. Factors multiply; of a hyperparameter
 * that several rules set, of `rule` and of `frozen`, the last counts. Parameters that the same rules match form a group.
 *
 * `Own` are the update rules that an entry may name: `AnyOptimizerConfig<R>` of a registry.
 */
export type ParamRule<H = object, Own = never> = {
  readonly match: Matcher;
  /** Stands in the names of groups and in explanations. Default: the matcher, as text. */
  readonly name?: string;
  /** Whether the parameters take no steps, until they are unfrozen. */
  readonly frozen?: boolean;
  /**
   * Another update rule for these parameters: `{ type: "Muon", lr: 0.02 }`. Hyperparameters beside it, and those of other rules of the list
   * that match the same parameters, have to be this rule's; factors multiply what it has.
   */
  readonly rule?: Own;
} & ParamOptions<H>;

/**
 * Layer-wise decay of learning rates, for models that were trained before: each layer has `rate` × the learning rate of the one above it. With n
 * layers and the rest above them, layer i (from 0) has lr × rate^(n − i), and the parameters that no entry matches have lr.
 *
 * `layer_decay` of timm, `layer_decay_rate` of MMPretrain; Clark et al., ELECTRA, arXiv:2003.10555, appendix A.
 */
export interface LayerDecay {
  /** Above 0; 0.65 to 0.9 are usual. */
  readonly rate: number;
  /**
   * The layers from the input up: a parameter is of the first entry that matches it. An entry whose `regex` has a group stands for as many layers as
   * there are numbers that it captures, in their order: `{ "regex": "^blocks\.(\d+)\." }`.
   */
  readonly layers: readonly Matcher[];
}

/** Whatever the registry. */
export type AnyParamRule = ParamRule<object, AnyOptimizerConfig>;

/** Several optimizers under names, as plain JSON. */
export interface OptimWrapperDictConfig<
  R extends RuleRegistry = RuleRegistry,
  T extends { readonly [name: string]: RuleName<R> } = { readonly [name: string]: RuleName<R> },
  S extends ScheduleRegistry = ScheduleRegistry,
> {
  /** Where an editor finds the schema. Not read. */
  readonly $schema?: string;
  readonly wrappers: { readonly [K in keyof T]: DictMember<R, T[K], S> };
  /** Parameters that no wrapper takes. All others have to be taken by exactly one. */
  readonly unused?: Matcher;
}

export interface DictMember<
  R extends RuleRegistry,
  T extends RuleName<R>,
  S extends ScheduleRegistry,
> extends OptimWrapperConfig<R, T, S> {
  /**
   * The parameters that this wrapper takes. Absent: those below its own name, `generator.layer1.kernel` for `generator`, which are called
   * without it from then on, `layer1.kernel`.
   */
  readonly params?: Matcher;
}
