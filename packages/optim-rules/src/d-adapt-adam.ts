import {
  abs,
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  dot,
  eq,
  max,
  min,
  mul,
  type Scalar,
  select,
  shared,
  sqrt,
  sub,
  sum,
  total,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { aboveZero, atLeastZero, belowOne, firstReason } from "./check.ts";
import { coupledOrNot } from "./coupling.ts";
import { average, decayed, penalized, square } from "./terms.ts";

export interface DAdaptAdamHyperparameters {
  /** η, a factor of the step size that is found: 1, or the course of a schedule that begins there. */
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root. */
  eps: number;
  weightDecay: number;
  /** θ(1 − δλ), in place of λθ in the gradient. */
  decoupledWeightDecay: boolean;
  /** Correct the bias of both averages, in δ. */
  biasCorrected: boolean;
  /** r, a factor of the steps of a group and of its part in the sums. */
  layerScale: number;
  /** The first estimate of the distance to the solution. Small: what is too large is never taken back. */
  d0: number;
  /** The most that d grows by in a step, as a factor; 0: no bound. */
  growthRate: number;
  maximize: boolean;
}

/**
 * Adam whose step size is found while it trains (Defazio & Mishchenko, D-Adaptation, arXiv:2301.07733, algorithm 5), as the authors' own
 * (facebookresearch/dadaptation).
 *
 * ```
 * δ = dη, with biasCorrected times √(1 − β₂ᵏ)/(1 − β₁ᵏ);  q = √β₂
 * N ← qN + (1 − q)Σ rδ·⟨g, s/(√v + ε)⟩      s and v of before; Σ over all tensors that take the step
 * m ← β₁m + rδ(1 − β₁)g,  v ← β₂v + (1 − β₂)g²,  s ← qs + (1 − q)δg
 * d ← max(d, min(N/((1 − q)Σ r‖s‖₁), d·growth))
 * θ ← θ(1 − λδ) − m/(√v + ε)
 * ```
 *
 * Nothing moves while all gradients are 0. Slots: `expAvg` m, `expAvgSq` v, `s`; shared by all tensors `d`, `numeratorWeighted` N and the count `k`.
 * Waits for the passes of all tensors twice.
 */
export const dAdaptAdam: UpdateRuleFactory<DAdaptAdamHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "DAdaptAdam",
  hyperparameters: {
    lr: 1,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    decoupledWeightDecay: false,
    biasCorrected: false,
    layerScale: 1,
    d0: 1e-6,
    growthRate: 0,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay, layerScale, d0, growthRate }) =>
    firstReason(
      atLeastZero({ lr, weightDecay, layerScale, growthRate }),
      belowOne({ betas }),
      aboveZero({ eps, d0 }),
    ),
  structure: (h) => ({ ...coupledOrNot(h), grows: h.growthRate !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0, s: 0 }),
  scalarSlots: ({ d0 }) => ({ d: shared(d0), numeratorWeighted: shared(0), k: shared(0) }),
  update(x, h, { decays, shrinks, grows, biasCorrected, maximize }) {
    const [beta1, beta2] = h.betas;
    const { d } = x;
    const g = penalized(x, h.weightDecay, { decays, maximize });
    const count = add(x.k, 1);
    const corrected = (): Scalar => div(sqrt(biasCorrection(beta2, count)), biasCorrection(beta1, count));
    const rate = biasCorrected ? mul(mul(d, h.lr), corrected()) : mul(d, h.lr);
    const q = sqrt(beta2);
    const scaled = mul(h.layerScale, rate);
    const before = div(x.s, add(sqrt(x.expAvgSq), h.eps));
    const s = average(q, x.s, mul(rate, g));
    const m = add(mul(beta1, x.expAvg), mul(mul(scaled, sub(1, beta1)), g));
    const v = average(beta2, x.expAvgSq, square(g));
    const numerator = add(mul(q, x.numeratorWeighted), mul(sub(1, q), total(mul(scaled, dot(g, before)))));
    const length = mul(sub(1, q), total(mul(h.layerScale, sum(abs(s)))));
    const still = eq(length, 0);
    const guess = div(numerator, select(still, 1, length));
    const next = max(d, grows ? min(guess, mul(d, h.growthRate)) : guess);
    const shrunk = decayed(x.param, select(still, 0, rate), h.weightDecay, shrinks);
    return {
      param: sub(shrunk, select(still, 0, div(m, add(sqrt(v), h.eps)))),
      expAvg: m,
      expAvgSq: v,
      s,
      d: select(still, d, next),
      numeratorWeighted: select(still, x.numeratorWeighted, numerator),
      k: select(still, x.k, count),
    };
  },
});
