import type { Capabilities } from "./capabilities.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import type { LossScale, LossScaler } from "./loss-scaler.ts";
import type { ClipGrad, OnNonFinite, SlotStorage } from "./options.ts";
import type { UpdateRule } from "./rule/define.ts";
import type {
  LoadOptions,
  NamedTensors,
  OptimizerStateDict,
  PreparedLoad,
  StateDictOptions,
} from "./state.ts";

/**
 * A live group of parameters. Its hyperparameters are its properties: assigning `group.lr` takes effect at the next step, with no
 * compilation unless the value crosses one that the rule's `structure` names (momentum 0 → 0.9). A tuple is replaced as a whole
 * (`group.betas = [0.5, 0.9]`); its elements are read-only.
 *
 * @throws OptimError `invalid-hyperparameter` at the assignment of a value that the rule refuses; the old value stays.
 */
export type ParamGroup<H> = {
  /** `"0"`, `"1"`, … unless named. */
  readonly name: string;
  /** Names of its parameters, in declared order. */
  readonly params: readonly string[];
} & { -readonly [K in keyof H]: H[K] };

/** The live group of a rule; of several rules, that of any of them. */
type LiveGroup<R> = R extends unknown ? ParamGroup<R> : never;

/** Groups of rules with the hyperparameters `R`: a union where groups have rules of their own. `"betas" in group` tells them apart. */
export type ParamGroups<R> = readonly [LiveGroup<R>, ...LiveGroup<R>[]];

interface WrittenGroup<Params> {
  readonly name?: string;
  readonly params: Params;
  /**
   * The shapes of parameters that their host knows as one dimension, such as Float32Arrays: first the outputs of a layer, or last where the host's
   * own layers have them there (TensorFlow). Rules for matrices need them. A parameter of more dimensions keeps its own.
   */
  readonly shapes?: { readonly [K in keyof Params]?: readonly number[] };
}

/** A group as a caller writes it: named parameters, and the hyperparameters that differ from those of the optimizer's rule. */
export type ParamGroupInput<P, H> = GroupOf<{ readonly [name: string]: P }, H>;
type GroupOf<Params, H> = WrittenGroup<Params> & { readonly rule?: undefined } & Partial<Readonly<H>>;

/** A group with a rule of its own, and the hyperparameters that differ from those which that rule was made with. */
export type RuledGroupInput<P, H extends BaseHyperparameters> = RuledGroupOf<
  { readonly [name: string]: P },
  H
>;
type RuledGroupOf<Params, H extends BaseHyperparameters> = WrittenGroup<Params> & {
  readonly rule: UpdateRule<H>;
} & Partial<Readonly<H>>;

/**
 * The requirement on a list of groups, for an entry point whose types come from what is written: each group has hyperparameters of its own rule, or
 * of the optimizer's where it has none. A name that is misspelled does not compile.
 *
 * @example
 * ```ts
 * function exampleOptimizer<H extends BaseHyperparameters, const G extends readonly object[]>(
 *   rule: UpdateRule<H>,
 *   groups: GroupsInput<Variables, NoInfer<H>, G>,
 * ): Optimizer<ExampleLoss, number, H, RulesOf<G, H>>;
 * ```
 */
export type GroupsInput<Params, H extends BaseHyperparameters, G> =
  // `any` where an overloaded entry point is compared with a function type: its kind of parameters must stay.
  0 extends 1 & G
    ? readonly WrittenGroup<Params>[]
    : G & { readonly [I in keyof G]: CheckedGroup<Params, H, G[I]> };
type CheckedGroup<Params, H extends BaseHyperparameters, Group> = Group extends {
  readonly rule: UpdateRule<infer R>;
}
  ? RuledGroupOf<Params, R> & NoOthers<Group, RuledGroupOf<Params, R>>
  : GroupOf<Params, H> & NoOthers<Group, GroupOf<Params, H>>;
type NoOthers<Written, Known> = { readonly [K in Exclude<keyof Written, keyof Known>]: never };

/** The hyperparameters of all rules of an optimizer: of its own, `H`, or of one that a group of `G` names. */
export type RulesOf<G extends readonly unknown[], H> = H | OwnRuleOf<G[number]>;
type OwnRuleOf<Group> = Group extends { readonly rule: UpdateRule<infer R> } ? R : never;

/** The names of all parameters of a list of groups; of groups that are not known by their type, `string`. */
export type ParamNamesOf<G extends readonly unknown[]> = NamesOf<G[number]>;
type NamesOf<Group> = Group extends { readonly params: infer Params }
  ? Extract<keyof Params, string>
  : string;

/**
 * A group that is added to an optimizer whose kind of parameter is not in its type: the backend checks the parameters when it is
 * called.
 */
export type AddedParamGroup<H> = {
  readonly name?: string;
  readonly params: { readonly [name: string]: unknown };
  readonly shapes?: { readonly [name: string]: readonly number[] };
} & Partial<Readonly<H>>;

/** Parameters as a caller writes them: by name, or in groups. */
export type ParametersInput<P, H extends BaseHyperparameters> =
  | { readonly [name: string]: P }
  | readonly (ParamGroupInput<P, H> | RuledGroupInput<P, BaseHyperparameters>)[];

export interface ParameterInfo {
  readonly name: string;
  readonly shape: readonly number[];
  /** The name of its group. */
  readonly group: string;
  /** The name of its group's own rule. Absent where the group follows the optimizer's. */
  readonly rule?: string;
  /**
   * The bytes of all its slots, as its group's hyperparameters are now: 4 an element of a slot, 2 in bfloat16, and 4 an element of the master weights of
   * a parameter in less than float32. Scalar slots are not counted. Not enumerable, so copies lack it; absent where an optimizer does not say.
   */
  readonly slotBytes?: number;
}

export interface BackwardOptions<R extends boolean = boolean> {
  /**
   * Multiplies gradients: the weight of the micro-batch ÷ the window's divisor. With 0 nothing is accumulated, and the closure runs only for
   * `returnLoss`. Default 1.
   */
  readonly scale?: number;
  /**
   * Multiplies the loss too; its value is latched at the first backward after `zeroGrad()`. Beside pending gradients that were accumulated
   * without a loss scale, it is 1 until `zeroGrad()`.
   */
  readonly lossScaler?: LossScaler | undefined;
  /** Return the closure's own value, neither divided nor scaled, owned by the caller. Default `false`. */
  readonly returnLoss?: R | undefined;
  /**
   * The next call is `step`, and nothing of the caller's comes before it: a backend that submits commands may hold them back until then,
   * so that both are one submission. Default `false`.
   */
  readonly stepFollows?: boolean | undefined;
}

/** The options that are the same for all steps of a wrapper. */
export interface StepSettings {
  readonly clipGrad?: ClipGrad | undefined;
  /** Default `"propagate"`; refused beside a loss scale, with which such steps are always skipped. */
  readonly onNonFinite?: OnNonFinite;
  /** Measure the 2-norm (or that of `clipGrad.normType`) although nothing clips by it. Default `false`. */
  readonly gradNorm?: boolean;
}

export interface StepOptions extends StepSettings {
  /** Gradients are multiplied by it. Default 1. */
  readonly rescale?: number;
  /** Gradients are divided by it: the weights of the window ÷ its divisor. With 0 nothing is stepped. Default 1. */
  readonly weight?: number;
  /**
   * Gradients carry its latched scale; a step that finds one that is not finite is skipped and told to it. Gradients that were accumulated
   * without a loss scale carry 1, and the scaler is not told.
   */
  readonly lossScaler?: LossScaler | undefined;
}

export interface MetricsOptions {
  /** `"parameter"`: {@link StepMetrics.gradNorms} too. */
  readonly per?: "parameter" | undefined;
}

export interface StepMetrics {
  /** The norm of the last step's gradients, unscaled, before clipping. Not finite for a skipped step. Absent when not measured. */
  readonly gradNorm?: number;
  /**
   * With `per: "parameter"`: the 2-norm of each parameter's gradient in the last step, by name, unscaled, before clipping, whether the step was
   * skipped or not. NaN or Infinity where an element is not finite: that names the parameter in which training went wrong. It is measured at
   * the call, so that steps cost the same; absent from the next backward on, which overwrites the gradients, and before the first step.
   */
  readonly gradNorms?: { readonly [parameter: string]: number };
  /** The loss scale as of the call; 1 without a loss scaler. */
  readonly lossScale: number;
  /** Steps that were applied. */
  readonly steps: number;
  /** Steps that were skipped because a gradient was not finite. */
  readonly skipped: number;
}

/**
 * An update rule applied to a set of parameters, whose groups may follow other rules: what a backend author writes. The comments here are the specification, and
 * `@mm/optim-conformance` checks them. A backend that fits {@link Engine} of `@mm/optim-core/backend` gets all of this from
 * `createOptimizer` and writes storage and kernels only.
 *
 * Parameters are named, flat and float32 to the optimizer, whatever their shape to the host library. They stay the caller's: never
 * disposed here. Accumulators and slots are the optimizer's, and freed by `dispose()`.
 *
 * Members that take a loss closure are properties, not methods: with method bivariance another backend's optimizer would be accepted.
 */
export interface Optimizer<
  in Loss,
  out LossValue,
  out H extends BaseHyperparameters = BaseHyperparameters,
  out R extends BaseHyperparameters = H,
> {
  readonly kind: "optimizer";
  /** The version of this interface. Whoever is handed an optimizer compares it, and refuses another with `contract-mismatch`. */
  readonly contract: 1;
  /** `"tfjs"`; wrappers, scalers and errors carry it. */
  readonly backend: string;
  /** The name of the update rule that groups follow unless they have their own. */
  readonly rule: string;
  readonly capabilities: Capabilities;
  /** How slots are kept, as the option said; absent without it. */
  readonly slotDtype?: SlotStorage;
  /** The rule's hyperparameters, which groups start from. */
  readonly defaults: Readonly<H>;
  readonly paramGroups: ParamGroups<R>;
  /** With several groups, the settings that no parameter uses; schedulers drive them and logs show them. */
  readonly baseParamSettings: ParamGroup<H> | undefined;
  /**
   * Adds a group of parameters that start without state, with a rule of its own or without. From the second group on there are
   * `baseParamSettings`.
   *
   * @throws OptimError as at construction; nothing has changed then
   */
  addParamGroup(group: AddedParamGroup<H>): void;
  addParamGroup<Own extends BaseHyperparameters>(
    group: AddedParamGroup<NoInfer<Own>> & { readonly rule: UpdateRule<Own> },
  ): void;
  /** Names, shapes and order of all parameters. Never waits. */
  readonly parameters: readonly ParameterInfo[];

  /**
   * Runs the closure once, differentiates, and **adds** `scale` × latched loss scale × gradient to the optimizer's own float32
   * accumulators. Gradients that the host library owns may alias each other and the caller's data: they are read, never written, and
   * let go of. A parameter that the loss does not reach keeps its accumulator, and has no gradient if it had none. If the closure
   * throws, nothing has changed. Does not wait for the device.
   *
   * Where all parameters are frozen the closure runs only for `returnLoss`.
   *
   * @returns the closure's own value with `returnLoss`, else `undefined` (and what the closure made is freed).
   * @throws OptimError `invalid-loss`; `no-gradient` where a parameter is not frozen and none has a gradient in this call; `disposed`,
   * `device-lost`
   */
  readonly backward: (loss: Loss, options?: BackwardOptions) => LossValue | undefined;

  /**
   * Refuses a call that may not be made now. Wrappers ask before they act, with the name of their own call. `"createOptimWrapper"` also marks
   * the optimizer as wrapped: an optimizer belongs to one wrapper.
   *
   * @throws OptimError `disposed`; `reentrant` from the optimizer's own loss closure; `load-pending` for `"addParamGroup"`, `"prepareLoad"`
   * and `"swapIn"` while a load is staged; `duplicate-wrapper` for a second `"createOptimWrapper"`; `evaluating` for what changes or saves
   * parameters, gradients or state while an evaluation point is in one of the parameters, put there by this optimizer or another
   */
  guard(call: string): void;
  /**
   * Checks the raw accumulators, unscales, clips and applies the rule, in this order, to the parameters that have a gradient and are
   * not frozen. The gradients stay. Does not wait for the device, and allocates nothing that outlives it but slots, once.
   *
   * A step that throws leaves parameters, slots and step counts unchanged.
   *
   * @returns whether anything stepped: `false` where no parameter that is not frozen has a gradient, and where `weight` is 0. Whether a
   * device skips the step, `readMetrics()` tells.
   * @throws OptimError `non-finite-gradient` (host backends, when asked for), `scaler-not-updated`, `disposed`, `device-lost`
   */
  step(options?: StepOptions): boolean;

  /** Forgets all gradients: from here they are absent, not zero. Also unlatches the loss scale. */
  zeroGrad(): void;

  /**
   * Puts the evaluation point of the rules (an average, the slow weights, a point in between) into the parameters, and keeps what was trained. On
   * the device, in place; only enqueues. Takes one more vector a parameter, for which there is room from the beginning. A parameter that took
   * no step yet stays as it is, and so do all parameters of rules without an evaluation point.
   *
   * Until `swapOut()`, `backward`, `step`, `stateDict`, `prepareLoad`, `writeGradients`, `writeParameters`, `addParamGroup` and `swapIn` of
   * every optimizer over these parameters throw `evaluating`. Where no group's rule has an evaluation point, nothing happens and nothing is refused.
   *
   * @throws OptimError `evaluating`, `load-pending`, `disposed`, `reentrant`, `invalid-parameter` for a parameter that is gone, `device-lost`;
   * nothing has changed then
   */
  swapIn(): void;
  /**
   * Puts back what was trained, to the bit. Does nothing without a `swapIn()` before it, nor after `dispose()`, which puts it back too.
   *
   * @throws OptimError `invalid-parameter`, `device-lost`
   */
  swapOut(): void;

  /**
   * A parameter that is frozen gets no gradient and takes no step; its pending gradient is kept, and not applied. Read at backward and
   * at step. Where the host library has a flag of its own (tfjs `variable.trainable`), either freezes.
   *
   * @throws OptimError `unknown-parameter`
   */
  freeze(names: readonly string[]): void;
  unfreeze(names: readonly string[]): void;
  readonly frozen: readonly string[];

  /**
   * Waits for the device.
   *
   * @throws what a device found since the last read: `non-finite-gradient`, `device-error`, `device-lost`; `invalid-option`, `unknown-option`
   */
  readMetrics(lossScaler?: LossScaler, options?: MetricsOptions): Promise<StepMetrics>;

  /** A copy of the state as of the call, whatever is trained before the promise resolves. Waits for the device. */
  stateDict(options?: StateDictOptions): Promise<OptimizerStateDict>;

  /**
   * The slots of these names, by slot and parameter: as of the call, a private copy in one ArrayBuffer. Reads nothing else of the state. A
   * parameter that has the slot not yet, since it took no step, is absent. Waits for the device.
   *
   * @throws OptimError `unknown-name` for a slot that no group's rule has
   */
  readonly readSlots: <const Name extends string>(
    names: readonly Name[],
  ) => Promise<{ readonly [N in Name]: NamedTensors }>;

  /**
   * Checks all of `state` against this optimizer and stages it; throws before anything changed. The argument is neither changed nor kept.
   * Reads nothing from a device. Training between the two halves is allowed, and overwritten.
   *
   * @param committed runs at the end of a commit that took effect: the part of whoever wraps the optimizer. It may not throw.
   * @throws OptimError `invalid-state`, `state-mismatch`, `load-pending`, `disposed`
   */
  prepareLoad(state: OptimizerStateDict, options?: LoadOptions, committed?: () => void): PreparedLoad;

  /** A scaler whose state lives where this backend decides. The caller disposes it. @throws OptimError `invalid-option` */
  createLossScaler(options: LossScale): LossScaler;

  /**
   * The raw accumulators of parameters that have a gradient, window and loss scale included, so that a NaN on one rank skips the step
   * on all. Absent means no gradient. A private copy in one ArrayBuffer. Waits for the device.
   */
  readGradients(): Promise<NamedTensors>;
  /**
   * The same without waiting, for callers that cannot. Absent on backends whose device must be waited for.
   *
   * @throws OptimError `unsupported` where only the current device of the host library cannot
   */
  readonly readGradientsSync?: () => NamedTensors;
  /**
   * Replaces accumulators, and creates those that were absent; names that are left out keep theirs. Only enqueues.
   *
   * @throws OptimError `unknown-parameter`, `invalid-parameter`, `gradients-changed` when backward, step or zeroGrad ran since the last
   * `readGradients()`
   */
  writeGradients(gradients: NamedTensors): void;
  /** All parameters, a private copy in one ArrayBuffer. Waits for the device. */
  readParameters(): Promise<NamedTensors>;
  /** Overwrites the named parameters. Only enqueues. @throws OptimError `unknown-parameter`, `invalid-parameter` */
  writeParameters(parameters: NamedTensors): void;

  /**
   * Runs `run` in the context that a forward pass of this backend needs; most need none, and just run it. `sync`: this backward completes
   * the window.
   *
   * @throws OptimError `invalid-option` for what returns a promise
   */
  readonly context: <T>(options: { readonly sync: boolean }, run: () => T) => T;

  /** Frees accumulators and slots. Twice is fine; anything else after it throws `disposed`. */
  dispose(): void;
}

/** An optimizer of any backend: it can be stepped and saved, but no closure is known to fit it. */
export type AnyOptimizer = Optimizer<never, unknown>;
