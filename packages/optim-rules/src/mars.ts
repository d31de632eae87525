import { defineUpdateRule, max, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import type { AdamwHyperparameters } from "./adamw.ts";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { adamStep, average, decayed, descent, square } from "./terms.ts";
import { varianceReduced } from "./variance-reduction.ts";

/** Those of AdamW, of which β and ε go with the corrected gradient, and: */
export interface MarsHyperparameters extends AdamwHyperparameters {
  /** γ, how much of the gradient's change corrects it. */
  gamma: number;
  /** Correct and clip the first gradient too, taking 0 for the one before, as the authors do. timm does not. */
  correctsFirst: boolean;
}

/**
 * MARS-AdamW (Yuan et al., arXiv:2411.10438, algorithm 2), as the authors' code: AdamW on a gradient whose variance its own change reduces.
 *
 * ```
 * c = g + γ·β₁/(1 − β₁)·(g − g′)           g′ the gradient before
 * c ← c/max(1, ‖c‖)                        ‖c‖ of the tensor
 * m ← β₁m + (1 − β₁)c
 * v ← β₂v + (1 − β₂)c²                     with amsgrad, x ← max(x, v) takes its place below
 * θ ← θ(1 − ηλ) − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 * g′ ← g
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v, `lastGrad` g′, with amsgrad `maxExpAvgSq` x: 12 bytes a parameter. Costs a second pass, for ‖c‖.
 *
 * The authors' code is for matrices, and gives vectors to AdamW with λ = 0.1 and β = (0.9, 0.95). Here the rule takes any tensor: put vectors into
 * a group that `adamw` drives.
 */
export const mars: UpdateRuleFactory<MarsHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "MARS",
  hyperparameters: {
    lr: 3e-3,
    betas: [0.95, 0.99],
    eps: 1e-8,
    weightDecay: 0,
    gamma: 0.025,
    amsgrad: false,
    correctsFirst: true,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay, gamma }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay, gamma }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: ({ amsgrad }) => ({ expAvg: 0, expAvgSq: 0, lastGrad: 0, ...(amsgrad && { maxExpAvgSq: 0 }) }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay, gamma }, { decays, maximize, ...structure }) {
    const g = descent(x.grad, maximize);
    const c = varianceReduced(g, x, beta1, gamma, structure.correctsFirst);
    const m = average(beta1, x.expAvg, c);
    const v = average(beta2, x.expAvgSq, square(c));
    const largest = structure.amsgrad ? max(x.maxExpAvgSq, v) : v;
    const step = adamStep(m, largest, x.step, { lr, betas: [beta1, beta2], eps });
    return {
      param: sub(decayed(x.param, lr, weightDecay, decays), step),
      expAvg: m,
      expAvgSq: v,
      lastGrad: g,
      ...(structure.amsgrad && { maxExpAvgSq: largest }),
    };
  },
});
