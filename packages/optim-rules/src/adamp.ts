import { defineUpdateRule, biasCorrection, div, mul, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { projected, uphillLeftOut } from "./projection.ts";
import { average, correctedRoot, decayed, descent, square } from "./terms.ts";

export interface AdampHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction, and to lengths. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ·ratio. */
  weightDecay: number;
  /** δ: the cosine of gradient and weights, times the root of their number, below which weights count as scale-invariant. */
  delta: number;
  /** The ratio of the decay where an update was projected; 1 where not. */
  wdRatio: number;
  nesterov: boolean;
  /** Leave out the elements of u whose sign is not that of the gradient, between two projections, as timm's `caution`. */
  cautious: boolean;
  maximize: boolean;
}

/**
 * Adam for weights whose length does not matter, as those before a normalization (Heo et al., AdamP, arXiv:2006.08217, algorithm 3), as the authors'
 * own (clovaai/AdamP): what only makes them longer is taken out of a step.
 *
 * ```
 * m, v as Adam's;  u = m / (√v/√(1 − β₂ᵗ) + ε), with Nesterov's momentum (β₁m + (1 − β₁)g) / (…)
 * u ← u without what is along the weights, where they are scale-invariant: of each output, else of the tensor
 * θ ← θ(1 − ηλ·ratio) − η/(1 − β₁ᵗ)·u
 * ```
 *
 * A tensor of less than two dimensions is not projected. Slots: `expAvg` m, `expAvgSq` v. Costs a second pass over matrices.
 */
export const adamp: UpdateRuleFactory<AdampHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "AdamP",
  shapes: "either",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    delta: 0.1,
    wdRatio: 0.1,
    nesterov: false,
    cautious: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay, delta, wdRatio }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay, delta, wdRatio }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(x, h, { decays, nesterov, cautious, maximize, matrix }) {
    const [beta1, beta2] = h.betas;
    const g = descent(x.grad, maximize);
    const m = average(beta1, x.expAvg, g);
    const v = average(beta2, x.expAvgSq, square(g));
    const plain = div(nesterov ? average(beta1, m, g) : m, correctedRoot(v, beta2, x.step, h.eps));
    const { update, ratio } =
      matrix === true
        ? projected({ ...x, grad: g, update: plain }, h, cautious)
        : { update: cautious ? uphillLeftOut(plain, g, x.size) : plain, ratio: 1 };
    const shrunk = decayed(x.param, mul(h.lr, ratio), h.weightDecay, decays);
    return {
      param: sub(shrunk, mul(div(h.lr, biasCorrection(beta1, x.step)), update)),
      expAvg: m,
      expAvgSq: v,
    };
  },
});
