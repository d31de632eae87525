import type { HyperparameterRecord } from "./hyperparameters.ts";
import type { LossScalerStateDict } from "./loss-scaler.ts";

/**
 * Tensors by parameter name: flat, row-major float32. The record has no prototype, so any name is safe. A tensor that a backend hands out is a
 * private copy: views of one ArrayBuffer in declared order.
 */
export type NamedTensors = { readonly [parameter: string]: Float32Array };

/** The saved state of one parameter. No parameter values: those are the model's, and saved with it. */
export interface ParameterState {
  readonly name: string;
  /** Must equal that of the parameter, except that `[n]` fits every shape of n elements: a Float32Array has no other. */
  readonly shape: readonly number[];
  /** Steps that this parameter took; skipped ones and those without a gradient are not among them. */
  readonly step: number;
  /** One tensor per slot of the rule, of the parameter's length. */
  readonly slots: { readonly [slot: string]: Float32Array };
  readonly scalarSlots: { readonly [slot: string]: number };
  /** The raw accumulator (window and loss scale included) when a gradient is pending. */
  readonly gradient?: Float32Array;
}

export interface GroupState {
  readonly name: string;
  /** Names of its parameters, in declared order. */
  readonly params: readonly string[];
  /** The name of its own rule. Absent where it follows the optimizer's. */
  readonly rule?: string;
  readonly hyperparameters: HyperparameterRecord;
}

/**
 * The state of an optimizer: plain data (numbers, strings, booleans, arrays, objects, Float32Array), nothing shared with the optimizer,
 * the same for every backend.
 */
export interface OptimizerStateDict {
  readonly format: "optim-optimizer";
  /** 2 where a group has a rule of its own, which releases that know only version 1 must refuse. */
  readonly version: 1 | 2;
  /** The rule that groups follow unless they have their own: `"AdamW"`. */
  readonly rule: string;
  readonly groups: readonly GroupState[];
  readonly params: readonly ParameterState[];
  /** With several groups: the settings that no parameter uses, which schedulers drive and logs show. */
  readonly baseParamSettings?: HyperparameterRecord;
  /** The loss scale that pending gradients carry; absent where they carry none. */
  readonly pendingScale?: number;
  /** Names frozen by `freeze()`, never by a flag of the host library. Absent in older states. */
  readonly frozen?: readonly string[];
  readonly steps: number;
  readonly skipped: number;
  /** State that only this kind of optimizer reads (a wrapped optimizer of a host library). */
  readonly native?: { readonly [name: string]: Float32Array };
}

export interface WindowCounts {
  readonly innerCount: number;
  /** Absent when never announced. */
  readonly maxCounts?: number;
  /** The count at which the window in progress began. */
  readonly windowStart: number;
  /** The divisor of its gradients as they come, fixed at its first backward; absent in an empty window. */
  readonly divisor?: number;
  /** The sum of the weights of its micro-batches; 0 when it is empty. */
  readonly weightSum: number;
}

export interface OptimWrapperStateDict {
  readonly format: "optim-wrapper";
  readonly version: 1;
  readonly optimizer: OptimizerStateDict;
  readonly counts: WindowCounts;
  readonly lossScaler?: LossScalerStateDict;
}

/** Which parts of a state are taken; each defaults to `true`. A part that is not restored stays as it is. */
export interface RestoreOptions {
  /** Learning rates and all other hyperparameters of the groups, and the base settings. */
  readonly hyperparameters?: boolean;
  /** `innerCount`, `maxCounts` and the window in progress. Without them the window in progress is dropped. */
  readonly counts?: boolean;
  readonly lossScaler?: boolean;
  /** Gradients of the window in progress. */
  readonly pending?: boolean;
  /** Which parameters `freeze()` has frozen. Pass `false` where the program freezes for a moment, and knows best what is frozen now. */
  readonly frozen?: boolean;
}

export interface LoadOptions {
  /**
   * `true` (default): everything must match, or an error lists all that does not, and nothing changes. `false`: what fits is loaded,
   * and the report lists the rest.
   */
  readonly strict?: boolean;
  /** The current name of a parameter that was saved under `saved`. */
  readonly rename?: (saved: string) => string;
  readonly restore?: RestoreOptions;
}

export interface StateDictOptions {
  /** Whether the gradients of a window in progress are saved. Default `true`. */
  readonly pending?: boolean;
}

/** Names are `"w1"` for a parameter, `"w1.expAvg"` for a slot, `group "0"` for a group. */
export interface LoadReport {
  /** In the optimizer, not in the state. */
  readonly missing: readonly string[];
  /**
   * In the state, not in the optimizer, or not taken: of another shape, a count without its slots. Hyperparameters that the rule does not have
   * are here too, and are never refused.
   */
  readonly unexpected: readonly string[];
  /**
   * Differs between state and program: `group "0".lr`, `baseParamSettings.lr`, `lossScaler.growthInterval`, `frozen`, `maxCounts`. `restore`
   * says which of the two holds now; options of a loss scaler and an announced `maxCounts` are always the program's. Under a schedule the
   * values of now differ by its course, and the scheduler's own report says what differs.
   */
  readonly changed: readonly string[];
  /** Hyperparameters that the state lacks, saved by an older rule: they keep what the program gave them. */
  readonly defaulted: readonly string[];
}

/** The second half of a load. */
export interface PreparedLoad {
  /**
   * Installs what was staged. Synchronous, and cannot fail. After the owner's `dispose()`, or a second time, it changes nothing.
   */
  commit(): LoadReport;
  /** Frees what was staged. After `commit()` it does nothing. */
  dispose(): void;
}
