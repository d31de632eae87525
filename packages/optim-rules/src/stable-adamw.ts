import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  max,
  mul,
  norm,
  type Scalar,
  sqrt,
  sub,
  type Tensor,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { decayed, descent, elementCount, square } from "./terms.ts";

export interface StableAdamwHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root; its square is the smallest v that the clipping divides by. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − η′λ. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * StableAdamW (Wortsman et al., arXiv:2304.13013, algorithm 2), as optimī's: AdamW whose rate falls, tensor by tensor, where the second moment
 * lags behind the gradient. Takes the place of clipping.
 *
 * ```
 * β̂ = β(1 − βᵗ⁻¹)/(1 − βᵗ)              of both: the bias is corrected inside the averages
 * m ← β̂₁m + (1 − β̂₁)g
 * v ← β̂₂v + (1 − β̂₂)g²
 * η′ = η / max(1, √mean(g²/max(v, ε²)))
 * θ ← θ(1 − η′λ) − η′·m/(√v + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v. Costs a second pass over the tensors, for the mean.
 */
export const stableAdamw: UpdateRuleFactory<StableAdamwHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "StableAdamW",
  hyperparameters: { lr: 1e-3, betas: [0.9, 0.99], eps: 1e-6, weightDecay: 1e-2, maximize: false },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, { decays, maximize }) {
    const g = descent(x.grad, maximize);
    const spent = (beta: Scalar): Scalar => biasCorrection(beta, sub(x.step, 1));
    const follow = (beta: Scalar, mean: Tensor, next: Tensor): Tensor =>
      div(add(mul(mul(beta, spent(beta)), mean), mul(sub(1, beta), next)), biasCorrection(beta, x.step));
    const m = follow(beta1, x.expAvg, g);
    const v = follow(beta2, x.expAvgSq, square(g));
    const surprise = div(norm(div(g, sqrt(max(v, square(eps))))), sqrt(elementCount(g)));
    const rate = div(lr, max(surprise, 1));
    return {
      param: sub(decayed(x.param, rate, weightDecay, decays), mul(rate, div(m, add(sqrt(v), eps)))),
      expAvg: m,
      expAvgSq: v,
    };
  },
});
