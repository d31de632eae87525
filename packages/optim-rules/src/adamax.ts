import {
  abs,
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  max,
  mul,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, penalized } from "./terms.ts";

export interface AdamaxHyperparameters {
  lr: number;
  /** Decay rates of the average of the gradient and of the infinity norm. */
  betas: readonly [beta1: number, beta2: number];
  /** Added to |g| in the infinity norm, which keeps the division from 0/0. */
  eps: number;
  /** λ of the L2 penalty, added to the gradient. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Adamax, Adam with the infinity norm (Kingma & Ba, arXiv:1412.6980, algorithm 2), as `torch.optim.Adamax`.
 *
 * ```
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g
 * u ← max(β₂u, |g| + ε)
 * θ ← θ − η/(1 − β₁ᵗ) · m / u
 * ```
 *
 * Slots: `expAvg` m, `expInf` u.
 *
 * Elsewhere: the paper has no ε. TensorFlow.js `tf.train.adamax` and Keras add ε to u in the division instead of to |g|.
 */
export const adamax: UpdateRuleFactory<AdamaxHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adamax",
  hyperparameters: { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, maximize: false },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expInf: 0 }),
  update({ param, grad, step, expAvg, expInf }, { lr, betas: [beta1, beta2], eps, weightDecay }, structure) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const m = average(beta1, expAvg, g);
    const u = max(mul(beta2, expInf), add(abs(g), eps));
    return {
      param: sub(param, mul(div(lr, biasCorrection(beta1, step)), div(m, u))),
      expAvg: m,
      expInf: u,
    };
  },
});
