import { add, defineUpdateRule, div, max, mul, sqrt, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, penalized, square } from "./terms.ts";

export interface RmspropHyperparameters {
  lr: number;
  /** α, decay rate of the averages. */
  alpha: number;
  /** Added outside the square root. */
  eps: number;
  /** λ of the L2 penalty, added to the gradient. */
  weightDecay: number;
  /** μ; above 0 it brings the slot `momentumBuffer`. */
  momentum: number;
  /** Divide by the standard deviation instead of the root mean square (Graves). Brings the slot `gradAvg`. */
  centered: boolean;
  maximize: boolean;
}

/**
 * RMSprop (Tieleman & Hinton, lecture 6.5 of the course "Neural Networks for Machine Learning", 2012; centred: Graves,
 * arXiv:1308.0850), as `torch.optim.RMSprop`.
 *
 * ```
 * g ← g + λθ
 * v ← αv + (1 − α)g²
 * a ← αa + (1 − α)g,  d = √(v − a²) + ε      centred
 * d = √v + ε                                 else
 * b ← μb + g/d,  θ ← θ − ηb                  with momentum
 * θ ← θ − ηg/d                               else
 * ```
 *
 * Slots: `squareAvg` v, `gradAvg` a where centred, `momentumBuffer` b where μ > 0.
 *
 * v − a² is never below 0, but may round to it; it is taken as 0 there, where PyTorch's root is NaN.
 *
 * Elsewhere: TensorFlow.js `tf.train.rmsprop`, Keras and optax put η inside the buffer, and ε inside the root (optax: unless told
 * `eps_in_sqrt=False`).
 */
export const rmsprop: UpdateRuleFactory<RmspropHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "RMSprop",
  hyperparameters: {
    lr: 1e-2,
    alpha: 0.99,
    eps: 1e-8,
    weightDecay: 0,
    momentum: 0,
    centered: false,
    maximize: false,
  },
  check: ({ lr, alpha, eps, weightDecay, momentum }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay, momentum }), belowOne({ alpha })),
  structure: ({ weightDecay, momentum }) => ({ decays: weightDecay !== 0, hasMomentum: momentum !== 0 }),
  slots: ({ centered, hasMomentum }) => ({
    squareAvg: 0,
    ...(centered && { gradAvg: 0 }),
    ...(hasMomentum && { momentumBuffer: 0 }),
  }),
  update(
    { param, grad, squareAvg, gradAvg, momentumBuffer },
    { lr, alpha, eps, weightDecay, momentum },
    structure,
  ) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const v = average(alpha, squareAvg, square(g));
    const slots = { squareAvg: v, ...(structure.centered && { gradAvg: average(alpha, gradAvg, g) }) };
    const variance = slots.gradAvg === undefined ? v : max(sub(v, square(slots.gradAvg)), 0);
    const direction = div(g, add(sqrt(variance), eps));
    if (!structure.hasMomentum) return { param: sub(param, mul(lr, direction)), ...slots };
    const buffer = add(mul(momentum, momentumBuffer), direction);
    return { param: sub(param, mul(lr, buffer)), ...slots, momentumBuffer: buffer };
  },
});
