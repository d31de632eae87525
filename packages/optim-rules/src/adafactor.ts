import {
  add,
  defineUpdateRule,
  div,
  dot,
  max,
  min,
  mul,
  norm,
  perColumn,
  perRow,
  pow,
  type Scalar,
  sqrt,
  sub,
  sum,
  type Tensor,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { aboveZero, atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, descent } from "./terms.ts";

export interface AdafactorHyperparameters {
  /** η: with `relativeStep` the largest relative rate, min(η, 1/√t); else the rate itself. */
  lr: number;
  /** c of the share tᶜ that a gradient has in the averages of squares; at most 0. */
  beta2Decay: number;
  /** ε₁, which keeps the estimate from 0, and ε₂, the least scale of a parameter. */
  eps: readonly [eps1: number, eps2: number];
  /** d, the largest root mean square of an update. */
  clipThreshold: number;
  /** β₁ of an average of the updates; above 0 it brings the slot `expAvg`. */
  beta1: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** Whether the rate falls as 1/√t. */
  relativeStep: boolean;
  /** Whether the rate is relative to the parameter: times max(ε₂, rms(θ)). */
  scaleParameter: boolean;
  /** Whether the largest relative rate is t·1e-6 in place of η. */
  warmupInit: boolean;
  /** Whether ε₁ is added to each g², in place of bounding their averages. */
  epsInAverage: boolean;
  /** Whether the decay goes with the whole rate α, in place of η. */
  scaledDecay: boolean;
  maximize: boolean;
}

/**
 * Adam's second moment from the averages of rows and columns (Shazeer & Stern, arXiv:1804.04235), as `torch.optim.Adafactor`: of a matrix it keeps
 * a number for each row and column, where Adam keeps two for each element.
 *
 * ```
 * w = tᶜ,  α = max(ε₂, rms(θ))·min(η, 1/√t)
 * R ← R + w(mean of g² per row − R),  C ← C + w(mean of g² per column − C)
 * V = R⊗C / max(mean(R), ε₁)     of less than two dimensions V ← V + w(g² − V)
 * u = g/√max(V, ε₁²),  u ← α/max(1, rms(u)/d)·u,  with β₁ m ← β₁m + (1 − β₁)u takes its place
 * θ ← θ(1 − ηλ) − u
 * ```
 *
 * Rows are the outputs of a layer, columns all else. Slots: `rowVar` R, one number an output, and `colVar` C, one for each of the rest; of a vector
 * `variance` V; with β₁ `expAvg` m.
 *
 * Elsewhere: transformers' is `{ epsInAverage: true, scaledDecay: true, eps: [1e-30, 1e-3] }`. PyTorch calls d `d`. Both take the last two dimensions
 * of a convolution's kernel as matrices, a batch of them.
 */
export const adafactor: UpdateRuleFactory<AdafactorHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adafactor",
  shapes: "either",
  hyperparameters: {
    lr: 1e-2,
    beta2Decay: -0.8,
    eps: [2 ** -23, 1e-3],
    clipThreshold: 1,
    beta1: 0,
    weightDecay: 0,
    relativeStep: true,
    scaleParameter: true,
    warmupInit: false,
    epsInAverage: false,
    scaledDecay: false,
    maximize: false,
  },
  check: ({ lr, beta2Decay, eps, clipThreshold, beta1, weightDecay, relativeStep, warmupInit }) =>
    firstReason(
      atLeastZero({ lr, eps, weightDecay }),
      aboveZero({ clipThreshold }),
      belowOne({ beta1 }),
      beta2Decay > 0 ? "beta2Decay of at most 0" : undefined,
      warmupInit && !relativeStep ? "relativeStep with warmupInit" : undefined,
    ),
  structure: ({ beta1, weightDecay }) => ({ hasMomentum: beta1 !== 0, decays: weightDecay !== 0 }),
  slots: ({ matrix, hasMomentum }) => ({
    ...(matrix === true ? { rowVar: perRow(), colVar: perColumn() } : { variance: 0 }),
    ...(hasMomentum && { expAvg: 0 }),
  }),
  update(x, h, { matrix, hasMomentum, decays, maximize, ...is }) {
    const { param, step, rows, cols, size } = x;
    const [eps1, eps2] = h.eps;
    const g = descent(x.grad, maximize);
    const rms = (of: Tensor): Scalar => div(norm(of), sqrt(size));
    const largest = is.warmupInit ? mul(1e-6, step) : h.lr;
    const relative = is.relativeStep ? min(largest, div(1, sqrt(step))) : h.lr;
    const rate = is.scaleParameter ? mul(max(eps2, rms(param)), relative) : relative;
    const apply = (estimate: Tensor): { readonly param: Tensor; readonly expAvg?: Tensor } => {
      const u = div(g, sqrt(is.epsInAverage ? estimate : max(estimate, mul(eps1, eps1))));
      const moved = mul(div(rate, max(1, div(rms(u), h.clipThreshold))), u);
      const step_ = hasMomentum ? average(h.beta1, x.expAvg, moved) : moved;
      const shrunk = decays ? mul(param, sub(1, mul(is.scaledDecay ? rate : h.lr, h.weightDecay))) : param;
      return { param: sub(shrunk, step_), ...(hasMomentum && { expAvg: step_ }) };
    };
    const fresh = pow(step, h.beta2Decay);
    const inside = is.epsInAverage ? eps1 : 0;
    if (matrix !== true) {
      const variance = add(x.variance, mul(fresh, sub(add(mul(g, g), inside), x.variance)));
      return { ...apply(variance), variance };
    }
    // A tensor without elements has means of 0, not of 0 ÷ 0.
    const rowMean = add(div(dot(g, g, "row"), max(cols, 1)), inside);
    const columnMean = add(div(dot(g, g, "column"), max(rows, 1)), inside);
    const rowVar = add(x.rowVar, mul(fresh, sub(rowMean, x.rowVar)));
    const colVar = add(x.colVar, mul(fresh, sub(columnMean, x.colVar)));
    const mean = div(sum(rowVar), max(rows, 1));
    const estimate = mul(div(rowVar, is.epsInAverage ? mean : max(mean, eps1)), colVar);
    return { ...apply(estimate), rowVar, colVar };
  },
});
