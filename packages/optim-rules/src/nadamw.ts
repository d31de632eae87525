import { defineUpdateRule, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { adamStep, average, decayed, descent, square } from "./terms.ts";

export interface NadamwHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * AdamW with Nesterov's momentum, as timm's `NAdamW` and the MLCommons algorithm benchmark (Dahl et al., arXiv:2306.07179).
 *
 * ```
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²
 * θ ← θ − η/(1 − β₁ᵗ) · (β₁m + (1 − β₁)g) / (√v/√(1 − β₂ᵗ) + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v.
 *
 * Elsewhere: `nadam`, as `torch.optim.NAdam`, warms its momentum up by a schedule, and corrects the bias by the product of momenta.
 */
export const nadamw: UpdateRuleFactory<NadamwHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "NAdamW",
  hyperparameters: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 1e-2, maximize: false },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, { decays, maximize }) {
    const g = descent(x.grad, maximize);
    const m = average(beta1, x.expAvg, g);
    const v = average(beta2, x.expAvgSq, square(g));
    const taken = adamStep(average(beta1, m, g), v, x.step, { lr, betas: [beta1, beta2], eps });
    return { param: sub(decayed(x.param, lr, weightDecay, decays), taken), expAvg: m, expAvgSq: v };
  },
});
