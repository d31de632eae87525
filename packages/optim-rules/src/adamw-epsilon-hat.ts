import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  mul,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, decayed, descent, square } from "./terms.ts";

export interface AdamwEpsilonHatHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** ε̂, added to √v as it is: the bias correction multiplies the whole. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** Correct the bias of both averages. BERT's training code does not. */
  biasCorrected: boolean;
  maximize: boolean;
}

/**
 * AdamW in the order of Kingma & Ba, arXiv:1412.6980, end of section 2, with ε̂ in place of ε: as the `AdamW` of Hugging Face's
 * transformers, and of C-Optim, under the name C-AdamW with `cautious`.
 *
 * ```
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²
 * θ ← θ − η·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε̂)        the factor is η without bias correction
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v.
 *
 * Elsewhere: transformers shrinks the parameter after the step, C-Optim before it, as here. In {@link adamw} ε is added after the correction,
 * which differs by √(1 − β₂ᵗ): a factor of 30 at the first step.
 */
export const adamwEpsilonHat: UpdateRuleFactory<AdamwEpsilonHatHyperparameters> =
  /* @__PURE__ */ defineUpdateRule({
    name: "AdamWEpsilonHat",
    hyperparameters: {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-6,
      weightDecay: 0,
      biasCorrected: true,
      maximize: false,
    },
    check: ({ lr, betas, eps, weightDecay }) =>
      firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
    structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
    slots: () => ({ expAvg: 0, expAvgSq: 0 }),
    update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, { decays, maximize, biasCorrected }) {
      const g = descent(x.grad, maximize);
      const m = average(beta1, x.expAvg, g);
      const v = average(beta2, x.expAvgSq, square(g));
      const corrected = div(mul(lr, sqrt(biasCorrection(beta2, x.step))), biasCorrection(beta1, x.step));
      const step = mul(biasCorrected ? corrected : lr, div(m, add(sqrt(v), eps)));
      return { param: sub(decayed(x.param, lr, weightDecay, decays), step), expAvg: m, expAvgSq: v };
    },
  });
