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
import { decayed, penalized, square } from "./terms.ts";

export interface ProdigyHyperparameters {
  /** η, a factor of the step size that is found: 1, or the course of a schedule that begins there. */
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** β₃ of the sums by which d is found; 0 stands for √β₂. */
  beta3: number;
  /** Times d, added outside the square root. */
  eps: number;
  weightDecay: number;
  /** θ(1 − δλ), in place of λθ in the gradient. */
  decoupledWeightDecay: boolean;
  /** Correct the bias of both averages, in δ. */
  biasCorrected: boolean;
  /** Leave a rate that warms up out of what d is found by. */
  safeguardWarmup: boolean;
  /** The first estimate of the distance to the solution. Small: what is too large is never taken back. */
  d0: number;
  /** A factor of the estimate. */
  dCoef: number;
  /** The most that d grows by in a step, as a factor; 0: no bound. */
  growthRate: number;
  maximize: boolean;
}

/**
 * Adam whose step size is found while it trains (Mishchenko & Defazio, Prodigy, arXiv:2306.06101), as the authors' own (konstmish/prodigy).
 *
 * ```
 * δ = dη, with biasCorrected times √(1 − β₂ᵏ)/(1 − β₁ᵏ)
 * N ← β₃N + Σ (d/d₀)δ·⟨g, θ₀ − θ⟩          Σ over all tensors that take the step
 * m ← β₁m + d(1 − β₁)g,  v ← β₂v + d²(1 − β₂)g²,  s ← β₃s + (d/d₀)δg
 * d̂ = d_coef·N/Σ‖s‖₁;  d ← max(d, d̂) while it is d₀;  d_max ← max(d_max, d̂);  d ← min(d_max, d·growth)
 * θ ← θ(1 − λδ) − δ·m/(√v + dε)            δ of before, d of now; where β₁ is 0, dg of now for m
 * ```
 *
 * Nothing moves while all gradients are 0. Slots: `p0` θ₀, the parameter at its first step, `s`, `expAvg` m (without it where β₁ is 0), `expAvgSq` v;
 * shared by all tensors `d`, `dMax`, `dNumerator` N and the count `k`. Waits for the passes of all tensors twice.
 *
 * Elsewhere: the authors' has `slice_p`, which looks at every p-th element, and takes the largest lr of all groups, which may differ only by 0; here each
 * group's δ has its own.
 */
export const prodigy: UpdateRuleFactory<ProdigyHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Prodigy",
  hyperparameters: {
    lr: 1,
    betas: [0.9, 0.999],
    beta3: 0,
    eps: 1e-8,
    weightDecay: 0,
    decoupledWeightDecay: true,
    biasCorrected: false,
    safeguardWarmup: false,
    d0: 1e-6,
    dCoef: 1,
    growthRate: 0,
    maximize: false,
  },
  check: ({ lr, betas, beta3, eps, weightDecay, d0, dCoef, growthRate }) =>
    firstReason(
      atLeastZero({ lr, eps, weightDecay, growthRate }),
      belowOne({ betas, beta3 }),
      aboveZero({ d0, dCoef }),
    ),
  structure: (h) => ({
    ...coupledOrNot(h),
    averages: h.betas[0] !== 0,
    roots: h.beta3 === 0,
    grows: h.growthRate !== 0,
  }),
  slots: ({ averages }) => ({ p0: "param", s: 0, expAvgSq: 0, ...(averages && { expAvg: 0 }) }),
  scalarSlots: ({ d0 }) => ({ d: shared(d0), dMax: shared(d0), dNumerator: shared(0), k: shared(0) }),
  update(x, h, { decays, shrinks, averages, roots, grows, biasCorrected, safeguardWarmup, maximize }) {
    const [beta1, beta2] = h.betas;
    const { d } = x;
    const g = penalized(x, h.weightDecay, { decays, maximize });
    const count = add(x.k, 1);
    const corrected = (): Scalar => div(sqrt(biasCorrection(beta2, count)), biasCorrection(beta1, count));
    const rate = biasCorrected ? mul(mul(d, h.lr), corrected()) : mul(d, h.lr);
    const beta3 = roots ? sqrt(beta2) : h.beta3;
    const gain = div(d, h.d0);
    const s = add(mul(beta3, x.s), mul(mul(gain, safeguardWarmup ? d : rate), g));
    const way = add(mul(beta3, x.dNumerator), total(mul(mul(gain, rate), dot(g, sub(x.p0, x.param)))));
    const length = total(sum(abs(s)));
    const still = eq(length, 0);
    const guess = select(still, 0, div(mul(h.dCoef, way), select(still, 1, length)));
    const most = max(x.dMax, guess);
    const grown = select(eq(d, h.d0), max(d, guess), d);
    const next = select(still, d, grows ? min(most, mul(grown, h.growthRate)) : most);
    const m = averages ? add(mul(beta1, x.expAvg), mul(mul(d, sub(1, beta1)), g)) : mul(next, g);
    const v = add(mul(beta2, x.expAvgSq), mul(mul(square(d), sub(1, beta2)), square(g)));
    const step = select(still, 0, rate);
    const shrunk = decayed(x.param, step, h.weightDecay, shrinks);
    return {
      param: sub(shrunk, mul(step, div(m, add(sqrt(v), mul(next, h.eps))))),
      p0: x.p0,
      s,
      expAvgSq: v,
      ...(averages && { expAvg: m }),
      d: next,
      dMax: most,
      dNumerator: select(still, x.dNumerator, way),
      k: select(still, x.k, count),
    };
  },
});
