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
import { aboveZero, atLeastZero, firstReason } from "./check.ts";
import { decayed, descent } from "./terms.ts";

export interface AdafactorHyperparameters {
  /** The largest relative rate: min(η, 1/√t). */
  lr: number;
  /** c of the share tᶜ that a gradient has in the averages of squares; below 0. */
  beta2Decay: number;
  /** ε₁, which keeps the estimate from 0, and ε₂, the least scale of a parameter. */
  eps: readonly [eps1: number, eps2: number];
  /** d, the largest root mean square of an update. */
  clipThreshold: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Adam's second moment from the averages of rows and columns (Shazeer & Stern, arXiv:1804.04235), as `torch.optim.Adafactor`: 1/rows + 1/columns
 * of Adam's memory for a matrix, and none of its first moment.
 *
 * ```
 * w = tᶜ,  α = max(ε₂, rms(θ))·min(η, 1/√t)
 * θ ← θ(1 − ηλ)
 * R ← R + w(mean of g² per row − R),  C ← C + w(mean of g² per column − C)
 * V = R⊗C / max(mean(R), ε₁)     of less than two dimensions V ← V + w(g² − V)
 * u = g/√max(V, ε₁²),  θ ← θ − α/max(1, rms(u)/d)·u
 * ```
 *
 * Rows are the outputs of a layer, columns all else. Slots: `rowVar` R, one number an output, `colVar` C, one for each of the rest; of a vector,
 * `variance` V.
 *
 * Elsewhere: PyTorch calls d `d`, and takes the last two dimensions of a convolution's kernel as its matrix, the others as a batch. transformers'
 * has ε₁ inside the averages, another relative rate and a momentum.
 */
export const adafactor: UpdateRuleFactory<AdafactorHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adafactor",
  shapes: "either",
  hyperparameters: {
    lr: 1e-2,
    beta2Decay: -0.8,
    eps: [2 ** -23, 1e-3],
    clipThreshold: 1,
    weightDecay: 0,
    maximize: false,
  },
  check: ({ lr, beta2Decay, eps, clipThreshold, weightDecay }) =>
    firstReason(
      atLeastZero({ lr, eps, weightDecay }),
      aboveZero({ clipThreshold }),
      beta2Decay > 0 ? "beta2Decay of at most 0" : undefined,
    ),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: ({ matrix }) => (matrix === true ? { rowVar: perRow(), colVar: perColumn() } : { variance: 0 }),
  update(x, { lr, beta2Decay, eps: [eps1, eps2], clipThreshold, weightDecay }, { decays, matrix, maximize }) {
    const { param, step, rows, cols, size } = x;
    const g = descent(x.grad, maximize);
    const fresh = pow(step, beta2Decay);
    const rms = (of: Tensor): Scalar => div(norm(of), sqrt(size));
    const apply = (estimate: Tensor): Tensor => {
      const u = div(g, sqrt(max(estimate, mul(eps1, eps1))));
      const rate = mul(max(eps2, rms(param)), min(lr, div(1, sqrt(step))));
      const clipped = div(rate, max(1, div(rms(u), clipThreshold)));
      return sub(decayed(param, lr, weightDecay, decays), mul(clipped, u));
    };
    if (matrix !== true) {
      const variance = add(x.variance, mul(fresh, sub(mul(g, g), x.variance)));
      return { param: apply(variance), variance };
    }
    const rowVar = add(x.rowVar, mul(fresh, sub(div(dot(g, g, "row"), cols), x.rowVar)));
    const colVar = add(x.colVar, mul(fresh, sub(div(dot(g, g, "column"), rows), x.colVar)));
    const mean = max(div(sum(rowVar), rows), eps1);
    return { param: apply(div(mul(rowVar, colVar), mean)), rowVar, colVar };
  },
});
