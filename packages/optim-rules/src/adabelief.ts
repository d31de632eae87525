import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  lt,
  max,
  mul,
  select,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { coupledOrNot } from "./coupling.ts";
import { averageLength, rectifier } from "./rectification.ts";
import { adamStep, average, decayed, penalized, square } from "./terms.ts";

export interface AdabeliefHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its squared surprise. */
  betas: readonly [beta1: number, beta2: number];
  /** Added to s at every step, and outside the square root. The authors take 1e-8 where SGD does better than Adam. */
  eps: number;
  /** λ of the decoupled decay, which shrinks the parameter by the factor 1 − ηλ, or of an L2 penalty. */
  weightDecay: number;
  /** Whether λ is of the decoupled decay. Without it λθ joins the gradient. */
  decoupledWeightDecay: boolean;
  /** Rectify the step as {@link radam} does, where ρ ≥ 5. */
  rectify: boolean;
  /** Divide by the largest ŝ so far. Brings the slot `maxExpAvgVar`. Rectified steps do not read it, as the authors'. */
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
 * With `rectify`, r and ρ as in {@link radam}:
 *
 * ```
 * θ ← θ − η/(1 − β₁ᵗ) · r·√(1 − β₂ᵗ) · m / (√s + ε)      where ρ ≥ 5
 * θ ← θ − η/(1 − β₁ᵗ) · m                                else
 * ```
 *
 * Slots: `expAvg` m, `expAvgVar` s, with amsgrad `maxExpAvgVar` x.
 *
 * Elsewhere: version 0.2 of the authors' package, and timm, rectify unless told `rectify=False`. The paper does not.
 */
export const adabelief: UpdateRuleFactory<AdabeliefHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "AdaBelief",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-16,
    weightDecay: 0,
    decoupledWeightDecay: true,
    rectify: false,
    amsgrad: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: coupledOrNot,
  slots: ({ amsgrad }) => ({ expAvg: 0, expAvgVar: 0, ...(amsgrad && { maxExpAvgVar: 0 }) }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, { amsgrad, rectify, ...structure }) {
    const g = penalized(x, weightDecay, structure);
    const m = average(beta1, x.expAvg, g);
    const s = add(average(beta2, x.expAvgVar, square(sub(g, m))), eps);
    const largest = amsgrad ? max(x.maxExpAvgVar, s) : s;
    const age = averageLength(beta2, x.step);
    const tooYoung = lt(age.length, 5);
    const scale = select(tooYoung, 1, mul(rectifier(age), sqrt(biasCorrection(beta2, x.step))));
    const rate = mul(div(lr, biasCorrection(beta1, x.step)), scale);
    const step = rectify
      ? mul(rate, div(m, select(tooYoung, 1, add(sqrt(s), eps))))
      : adamStep(m, largest, x.step, { lr, betas: [beta1, beta2], eps });
    return {
      param: sub(decayed(x.param, lr, weightDecay, structure.shrinks), step),
      expAvg: m,
      expAvgVar: s,
      ...(amsgrad && { maxExpAvgVar: largest }),
    };
  },
});
