import type { LossScale, LossScaler } from "./loss-scaler.ts";

/** Clip by the norm of all gradients of the wrapper together (Pascanu et al., arXiv:1211.5063; `torch.nn.utils.clip_grad_norm_`). */
export interface ClipGradByNorm {
  readonly type?: "norm";
  readonly clipValue?: never;
  /** Gradients are multiplied by min(1, maxNorm ÷ (norm + 1e-6)). */
  readonly maxNorm: number;
  /** p of the p-norm, above 0; `Infinity` for the largest absolute value. With `per: "tensor"` one of 1, 2 and `Infinity`. Default 2. */
  readonly normType?: number;
  /** `"tensor"`: each gradient by its own norm. Default `"all"`: all of them by their norm together. `gradNorm` is that of all in either case. */
  readonly per?: "all" | "tensor";
  /**
   * A norm that is not finite is an error: backends that decide on the host throw `non-finite-gradient` in the step; others skip the
   * step and reject the next `readMetrics()` or `stateDict()`. Default `false`: PyTorch's, see {@link OnNonFinite}.
   */
  readonly errorIfNonfinite?: boolean;
}

/** Clamp each element of the unscaled gradient to ±clipValue (`torch.nn.utils.clip_grad_value_`). NaN stays NaN. */
export interface ClipGradByValue {
  readonly type: "value";
  readonly clipValue: number;
}

/**
 * Adaptive clipping (Brock et al., arXiv:2102.06171, equation 3; timm's `adaptive_clip_grad`): the gradient of each output of a layer by the norm
 * of its weights. Of a tensor of less than two dimensions, or whose shape its host does not know, the whole tensor is one output.
 */
export interface ClipGradAdaptive {
  readonly type: "adaptive";
  readonly clipValue?: never;
  /** λ: a gradient above λ·max(‖w‖, ε) is shortened to it. The authors' 0.01 is for batches of a thousand. */
  readonly clipFactor: number;
  /** ε, the least that counts as the norm of weights, so that zeros can be trained. Default 1e-3. */
  readonly eps?: number;
}

export type ClipGrad = ClipGradByNorm | ClipGradByValue | ClipGradAdaptive;

/**
 * The treatment of gradients that are not finite when no loss scaler is on. `"propagate"`: they reach the parameters, as in PyTorch.
 * `"skip"`: the step is skipped. `"throw"`: an error, as for `errorIfNonfinite`; parameters and state are unchanged. `"zero"`: those
 * elements count as 0.
 */
export type OnNonFinite = "propagate" | "skip" | "throw" | "zero";

/** How an optimizer keeps a slot. */
export type SlotDtype = "float32" | "bfloat16";

/** How an optimizer keeps its slots: all of them, or some by their names, the others in float32. */
export type SlotStorage = SlotDtype | { readonly [slot: string]: SlotDtype };

/** Options of optimizers whose backend says `slotDtypes` among its capabilities. */
export interface SlotOptions {
  /**
   * `"bfloat16"`: slots with a number for each element of a parameter take 2 bytes of it and not 4. A step computes in float32 as ever, and rounds
   * what it keeps to 8 significant bits, to nearest, ties to even. Slots per row or column, scalar slots, and slots that begin as the parameter (averages of
   * weights) stay in float32. `{ expAvg: "bfloat16" }`: this slot alone. States are float32 in any case. Default `"float32"`.
   */
  readonly slotDtype?: SlotStorage | undefined;
}

/** Options of `createOptimWrapper`. A name that is not among them is refused. */
export interface OptimWrapperOptions {
  /** Backward calls per step, a positive integer. Default 1. */
  readonly accumulativeCounts?: number;
  readonly clipGrad?: ClipGrad | undefined;
  /** Absent: plain single precision. A {@link LossScaler} is shared: whoever made it updates it and disposes it. */
  readonly lossScale?: LossScale | LossScaler | undefined;
  /** Plain precision only; with a loss scale, steps with gradients that are not finite are always skipped. Default `"propagate"`. */
  readonly onNonFinite?: OnNonFinite;
  /** Measure the gradient norm at every step, for `readMetrics()`. Default: only when clipping by norm needs it. */
  readonly gradNorm?: boolean;
}

export interface UpdateParamsOptions<R extends boolean = boolean> {
  /** Return the closure's value. Default `false`, so that ignoring the result leaks nothing. */
  readonly returnLoss?: R | undefined;
  /**
   * The weight of this micro-batch, at least 0: the window's gradient is Σ wᵢ gᵢ ÷ Σ wᵢ. Pass the number of samples when micro-batches are
   * uneven. One of weight 0 accumulates nothing, and its closure runs only for `returnLoss`. Default 1.
   */
  readonly weight?: number;
}

export interface WrapperBackwardOptions<R extends boolean = boolean> {
  /** Multiplies the gradient. Default 1: `backward` does not divide by the window. */
  readonly scale?: number;
  readonly returnLoss?: R | undefined;
}

export interface CountStatus {
  /** Backward calls that were made before: where a resumed run begins. */
  readonly initCounts?: number;
  /** Backward calls of the whole run, so that the last, short window is stepped and divided by its own length. */
  readonly maxCounts?: number;
}
