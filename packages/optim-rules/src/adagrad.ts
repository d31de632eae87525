import { add, defineUpdateRule, div, mul, sqrt, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, firstReason } from "./check.ts";
import { penalized, square } from "./terms.ts";

export interface AdagradHyperparameters {
  lr: number;
  /** The learning rate of step t is η / (1 + (t − 1)·lrDecay). */
  lrDecay: number;
  /** λ of the L2 penalty, added to the gradient. */
  weightDecay: number;
  /** The content of the slot `sum` before the first step. Later changes have no effect. */
  initialAccumulatorValue: number;
  /** Added outside the square root. */
  eps: number;
  maximize: boolean;
}

/**
 * Adagrad (Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 12, 2011), as
 * `torch.optim.Adagrad`.
 *
 * ```
 * g ← g + λθ
 * s ← s + g²
 * θ ← θ − η/(1 + (t − 1)·lrDecay) · g / (√s + ε)
 * ```
 *
 * Slots: `sum` s.
 *
 * Elsewhere: TensorFlow.js `tf.train.adagrad` starts s at 0.1 and puts ε = 1e-7 inside the root. optax starts it at 0.1 too.
 */
export const adagrad: UpdateRuleFactory<AdagradHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adagrad",
  hyperparameters: {
    lr: 1e-2,
    lrDecay: 0,
    weightDecay: 0,
    initialAccumulatorValue: 0,
    eps: 1e-10,
    maximize: false,
  },
  check: ({ lr, lrDecay, weightDecay, initialAccumulatorValue, eps }) =>
    firstReason(atLeastZero({ lr, lrDecay, weightDecay, initialAccumulatorValue, eps })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ sum: ({ initialAccumulatorValue }) => initialAccumulatorValue }),
  update({ param, grad, step, sum }, { lr, lrDecay, weightDecay, eps }, structure) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const s = add(sum, square(g));
    const rate = div(lr, add(1, mul(sub(step, 1), lrDecay)));
    return { param: sub(param, mul(rate, div(g, add(sqrt(s), eps)))), sum: s };
  },
});
