import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  min,
  mul,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import type { AdamwHyperparameters } from "./adamw.ts";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { warmShare } from "./half-life.ts";
import { average, correctedRoot, decayed, descent, square } from "./terms.ts";

/** Those of AdamW, and: */
export interface AdemamixHyperparameters extends Omit<AdamwHyperparameters, "betas" | "amsgrad"> {
  /** Decay rates of the fast average of the gradient, of the average of its square, and of the slow average. */
  betas: readonly [beta1: number, beta2: number, beta3: number];
  /** α, the weight of the slow average. */
  alpha: number;
  /** Steps over which α grows from 0; 0 for none. The authors take all steps of the run, and for β₃ too. */
  alphaWarmup: number;
  /** Steps over which β₃ grows from β₁, so that the half-life grows evenly. */
  beta3Warmup: number;
}

/**
 * AdEMAMix (Pagliardini et al., arXiv:2409.03137, algorithm 1), as Apple's code: AdamW with a second, slow average.
 *
 * ```
 * m₁ ← β₁m₁ + (1 − β₁)g
 * m₂ ← β₃m₂ + (1 − β₃)g                   without bias correction
 * v ← β₂v + (1 − β₂)g²
 * θ ← θ − η[(m₁/(1 − β₁ᵗ) + αm₂) / (√v/√(1 − β₂ᵗ) + ε) + λθ]
 * ```
 *
 * Slots: `expAvgFast` m₁, `expAvgSlow` m₂, `expAvgSq` v: 12 bytes a parameter. The authors' code keeps no m₁ where β₁ = 0; here it is g then.
 */
export const ademamix: UpdateRuleFactory<AdemamixHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "AdEMAMix",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999, 0.9999],
    alpha: 2,
    alphaWarmup: 0,
    beta3Warmup: 0,
    eps: 1e-8,
    weightDecay: 0,
    maximize: false,
  },
  check: ({ lr, alpha, alphaWarmup, beta3Warmup, eps, weightDecay, betas }) =>
    firstReason(atLeastZero({ lr, alpha, alphaWarmup, beta3Warmup, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay, alphaWarmup, beta3Warmup }) => ({
    decays: weightDecay !== 0,
    alphaGrows: alphaWarmup !== 0,
    beta3Grows: beta3Warmup !== 0,
  }),
  slots: () => ({ expAvgFast: 0, expAvgSlow: 0, expAvgSq: 0 }),
  update(x, { betas: [beta1, beta2, beta3], ...h }, structure) {
    const g = descent(x.grad, structure.maximize);
    const m1 = average(beta1, x.expAvgFast, g);
    const taken = structure.beta3Grows ? warmShare(x.step, h.beta3Warmup, beta1, beta3) : sub(1, beta3);
    const m2 = add(mul(sub(1, taken), x.expAvgSlow), mul(taken, g));
    const v = average(beta2, x.expAvgSq, square(g));
    const weight = structure.alphaGrows ? mul(h.alpha, min(div(x.step, h.alphaWarmup), 1)) : h.alpha;
    const direction = add(div(m1, biasCorrection(beta1, x.step)), mul(weight, m2));
    const step = mul(h.lr, div(direction, correctedRoot(v, beta2, x.step, h.eps)));
    const shrunk = decayed(x.param, h.lr, h.weightDecay, structure.decays);
    return { param: sub(shrunk, step), expAvgFast: m1, expAvgSlow: m2, expAvgSq: v };
  },
});
