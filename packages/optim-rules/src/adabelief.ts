import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  max,
  mul,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { descent, average, decayed, square } from "./terms.ts";

export interface AdabeliefHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its squared surprise. */
  betas: readonly [beta1: number, beta2: number];
  /** Added to s at every step, and outside the square root. The authors take 1e-8 where SGD does better than Adam. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** Divide by the largest ŝ so far. Brings the slot `maxExpAvgVar`. */
  amsgrad: boolean;
  maximize: boolean;
}

/**
 * AdaBelief (Zhuang et al., arXiv:2010.07468, algorithm 2), as the authors' `adabelief-pytorch`.
 *
 * ```
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g
 * s ← β₂s + (1 − β₂)(g − m)² + ε          with amsgrad, x ← max(x, s) takes its place below
 * θ ← θ − η/(1 − β₁ᵗ) · m / (√s/√(1 − β₂ᵗ) + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgVar` s, with amsgrad `maxExpAvgVar` x.
 *
 * Elsewhere: version 0.2 of the authors' package rectifies as RAdam does unless told `rectify=False`; the paper does not, and this rule
 * does not.
 */
export const adabelief: UpdateRuleFactory<AdabeliefHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "AdaBelief",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-16,
    weightDecay: 0,
    amsgrad: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: ({ amsgrad }) => ({ expAvg: 0, expAvgVar: 0, ...(amsgrad && { maxExpAvgVar: 0 }) }),
  update(
    { param, grad, step, expAvg, expAvgVar, maxExpAvgVar },
    { lr, betas: [beta1, beta2], eps, weightDecay },
    { decays, amsgrad, maximize },
  ) {
    const g = descent(grad, maximize);
    const m = average(beta1, expAvg, g);
    const s = add(average(beta2, expAvgVar, square(sub(g, m))), eps);
    const largest = amsgrad ? max(maxExpAvgVar, s) : s;
    const root = add(div(sqrt(largest), sqrt(biasCorrection(beta2, step))), eps);
    return {
      param: sub(
        decayed(param, lr, weightDecay, decays),
        mul(div(lr, biasCorrection(beta1, step)), div(m, root)),
      ),
      expAvg: m,
      expAvgVar: s,
      ...(amsgrad && { maxExpAvgVar: largest }),
    };
  },
});
