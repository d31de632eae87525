/// <reference lib="esnext.disposable" preserve="true" />
import type { CountStatus, UpdateParamsOptions, WrapperBackwardOptions } from "./options.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import type { LossScaler } from "./loss-scaler.ts";
import type {
  AddedParamGroup,
  MetricsOptions,
  Optimizer,
  ParamGroup,
  ParamGroups,
  StepMetrics,
} from "./optimizer.ts";
import type { UpdateRule } from "./rule/define.ts";
import type {
  LoadOptions,
  LoadReport,
  OptimWrapperStateDict,
  PreparedLoad,
  StateDictOptions,
} from "./state.ts";

/** `loss` is there when `returnLoss` was given: the closure's own value, neither divided nor scaled; the caller disposes it. */
export type WithLoss<LossValue, R extends boolean> = [R] extends [true]
  ? { readonly loss: LossValue }
  : { readonly loss?: LossValue };

export type UpdateParamsResult<LossValue, R extends boolean> = {
  /**
   * The window was full and a step was enqueued. `false` at the end of a window whose weights sum to 0, and where all parameters are frozen.
   * Whether the device skipped the step, `readMetrics()` tells.
   */
  readonly updated: boolean;
} & WithLoss<LossValue, R>;

/** A promise is refused at compile time: contexts are synchronous. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * One interface over an optimizer of any backend, adding accumulation, clipping, loss scaling and state. Made by `createOptimWrapper`.
 *
 * The straight path of an update:
 *
 * ```text
 * loss closure → gradients × scale → accumulate → [window full?] → check → unscale → clip → update rule → state dict
 *                                                    └ not finite: skip, back the scale off
 * ```
 *
 * A call that changes the wrapper or waits for the device, from its own loss closure, throws `reentrant`; after `dispose()` it throws
 * `disposed`. Getters are never refused.
 */
export interface OptimWrapper<
  in Loss,
  out LossValue,
  out H extends BaseHyperparameters = BaseHyperparameters,
  out R extends BaseHyperparameters = H,
> {
  readonly kind: "optim-wrapper";
  /** The version of this interface. Whoever is handed a wrapper compares it, and refuses another with `contract-mismatch`. */
  readonly contract: 1;
  readonly backend: string;
  readonly optimizer: Optimizer<Loss, LossValue, H, R>;
  /** The shared one that was handed in, or this wrapper's own; `undefined` in plain precision. */
  readonly lossScaler: LossScaler | undefined;

  /**
   * One micro-batch: divide by the window, backward, and when the window is full step and zero the gradients. Synchronous: it only
   * enqueues. If the closure throws, counts and gradients are as before.
   *
   * A window is divided by the weights that were put into it. Its divisor D is fixed at its first backward: its length as known then. A
   * micro-batch adds weight ÷ D × gradient, and at the end the sum is divided by Σ weights ÷ D, which is 1 for a full window without weights.
   *
   * @throws OptimError `count-exceeded` past `maxCounts`; what the optimizer's `backward` and `step` throw
   */
  readonly updateParams: <const R extends boolean = false>(
    loss: Loss,
    options?: UpdateParamsOptions<R>,
  ) => UpdateParamsResult<LossValue, R>;
  /** Counts one micro-batch of weight 0, without a closure: that of a rank, or of a data set, that has nothing for this iteration. */
  skip(): { readonly updated: boolean };
  /**
   * One backward by hand. Counts; does not divide by the window (pass `scale: 1 / wrapper.lossFactor()`), does not step. In a window that
   * `updateParams`, `skip` or `flush` ends it weighs `scale` × D.
   */
  readonly backward: <const R extends boolean = false>(
    loss: Loss,
    options?: WrapperBackwardOptions<R>,
  ) => WithLoss<LossValue, R>;
  /**
   * One step by hand, whatever the window. Gradients are multiplied by `rescale` (pass `1 / total`), and stay, as in MMEngine: call
   * `zeroGrad()` after it. One that throws leaves parameters and slots unchanged and the gradients pending.
   */
  step(options?: { readonly rescale?: number }): void;
  /** Drops all gradients; a window in progress begins anew at `innerCount`. */
  zeroGrad(): void;
  /**
   * Steps a short window now, divided by its own weights, and zeroes the gradients. An empty window is a no-op. `innerCount` stays; the
   * next window begins here and ends at the next boundary, divided by its own length.
   *
   * @throws OptimError `invalid-option` where scales given by hand cancel out: their sum is 0, and gradients are pending
   */
  flush(): { readonly updated: boolean };

  /**
   * The divisor of the next loss in `updateParams`: the divisor of the window that it belongs to. @throws OptimError `count-exceeded` when
   * `maxCounts` are done
   */
  lossFactor(): number;
  /** Whether the count stands at a boundary: a multiple of `accumulativeCounts`, or `maxCounts`. True before the first backward. */
  shouldUpdate(): boolean;
  /** Whether the next backward completes a window. */
  shouldSync(): boolean;
  /** Backward calls so far, `initCounts` included. */
  readonly innerCount: number;
  /**
   * Micro-batches a window. May be assigned, and takes effect at once: windows end at its multiples. A window in progress keeps its divisor.
   *
   * @throws OptimError `invalid-option` at the assignment of anything but a positive integer; the old value stays
   */
  accumulativeCounts: number;
  /**
   * Says where the count stands and where it ends. Directly after the load of a state in mid-window, `maxCounts` may be set for the run that
   * goes on: `initCounts` is then left out, or the count that was loaded.
   *
   * @throws OptimError `window-open` in mid-window otherwise, `invalid-option`
   */
  initializeCountStatus(status: CountStatus): void;

  /** Runs `run` in the wrapper's context and returns its value. A promise neither compiles nor passes. */
  optimContext<T>(run: () => NotPromise<T>): T;

  readonly paramGroups: ParamGroups<R>;
  /** With several groups: what schedulers drive and logs show; not part of `paramGroups`. */
  readonly baseParamSettings: ParamGroup<H> | undefined;
  readonly defaults: Readonly<H>;
  /** See {@link Optimizer.addParamGroup}. */
  addParamGroup(group: AddedParamGroup<H>): void;
  addParamGroup<Own extends BaseHyperparameters>(
    group: AddedParamGroup<NoInfer<Own>> & { readonly rule: UpdateRule<Own> },
  ): void;
  /** One entry per group. `baseLr` with several groups. */
  getLr(): { readonly lr: readonly number[]; readonly baseLr?: readonly number[] };
  /** `momentum`, else the first of `betas`, else 0, per group. */
  getMomentum(): { readonly momentum: readonly number[] };

  /**
   * Runs `run` while the parameters hold the evaluation point of the optimizer's rules: averages, slow weights, the x of schedule-free rules.
   * Puts back what was trained, to the bit, when `run` has ended, whatever came of it. A rule without an evaluation point leaves the parameters
   * as they are, so that a loop works with any.
   *
   * ```ts
   * const accuracy = await wrapper.evaluating(() => accuracyOf(model));
   * ```
   *
   * Meanwhile what trains, saves or loads throws `evaluating`, see {@link Optimizer.swapIn}. Save a model for inference inside it, and the state
   * of the optimizer outside.
   *
   * @throws OptimError `invalid-option` for what is no function; as `swapIn`
   */
  evaluating<T>(run: () => T | PromiseLike<T>): Promise<T>;
  /** The first half of `evaluating`, for loops that cannot nest. See {@link Optimizer.swapIn}. */
  swapIn(): void;
  /** The second half. Without the first it does nothing. */
  swapOut(): void;
  /** See {@link Optimizer.readSlots}. Waits for the device. */
  readonly readSlots: Optimizer<Loss, LossValue, H, R>["readSlots"];

  /** See {@link Optimizer.freeze}. */
  freeze(names: readonly string[]): void;
  unfreeze(names: readonly string[]): void;

  /** A plain, backend-neutral copy as of the moment of the call. Waits for the device. */
  stateDict(options?: StateDictOptions): Promise<OptimWrapperStateDict>;
  /** `prepareLoad` and `commit` in one. Rejects where `prepareLoad` throws. */
  loadStateDict(state: OptimWrapperStateDict, options?: LoadOptions): Promise<LoadReport>;
  /**
   * Checks and stages everything; throws before anything changed. Reads nothing from a device.
   *
   * @throws OptimError `invalid-state`, `state-mismatch`, `load-pending` while another load is staged, `disposed`, `reentrant`
   */
  prepareLoad(state: OptimWrapperStateDict, options?: LoadOptions): PreparedLoad;
  /** Waits for the device; also the back-pressure of a loop that only enqueues. */
  readMetrics(options?: MetricsOptions): Promise<StepMetrics>;

  /** Frees the optimizer's own memory and a loss scaler that this wrapper made; never the caller's parameters. Twice is fine. */
  dispose(): void;
  /** The same, for `using`, where the symbol exists. */
  readonly [Symbol.dispose]: () => void;
}

/** A wrapper of any backend: everything but closures. */
export type AnyOptimWrapper = OptimWrapper<never, unknown>;
