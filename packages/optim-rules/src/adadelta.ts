import { add, defineUpdateRule, div, mul, sqrt, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, penalized, square } from "./terms.ts";

export interface AdadeltaHyperparameters {
  /** Multiplies the step that the rule computes; the paper has none, so 1. */
  lr: number;
  /** Decay rate of both averages. */
  rho: number;
  /** Added inside both square roots. */
  eps: number;
  /** λ of the L2 penalty, added to the gradient. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Adadelta (Zeiler, arXiv:1212.5701, algorithm 1), as `torch.optim.Adadelta`.
 *
 * ```
 * g ← g + λθ
 * v ← ρv + (1 − ρ)g²
 * d = √(u + ε) / √(v + ε) · g
 * u ← ρu + (1 − ρ)d²
 * θ ← θ − ηd
 * ```
 *
 * Slots: `squareAvg` v, `accDelta` u.
 *
 * Elsewhere: TensorFlow.js `tf.train.adadelta` takes η = 1e-3, ρ = 0.95 and ε = 1e-7.
 */
export const adadelta: UpdateRuleFactory<AdadeltaHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adadelta",
  hyperparameters: { lr: 1, rho: 0.9, eps: 1e-6, weightDecay: 0, maximize: false },
  check: ({ lr, rho, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ rho })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ squareAvg: 0, accDelta: 0 }),
  update({ param, grad, squareAvg, accDelta }, { lr, rho, eps, weightDecay }, structure) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const v = average(rho, squareAvg, square(g));
    const delta = mul(div(sqrt(add(accDelta, eps)), sqrt(add(v, eps))), g);
    return {
      param: sub(param, mul(lr, delta)),
      squareAvg: v,
      accDelta: average(rho, accDelta, square(delta)),
    };
  },
});
