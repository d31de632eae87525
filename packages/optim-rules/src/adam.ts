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
import { average, penalized, square } from "./terms.ts";

export interface AdamHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the L2 penalty, added to the gradient. For decoupled decay use `adamw`. */
  weightDecay: number;
  /** Divide by the largest v̂ so far (Reddi et al., arXiv:1904.09237). Brings the slot `maxExpAvgSq`. */
  amsgrad: boolean;
  maximize: boolean;
}

/**
 * Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1), as `torch.optim.Adam`.
 *
 * ```
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²          with amsgrad, x ← max(x, v) takes its place below
 * θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v, with amsgrad `maxExpAvgSq` x.
 *
 * Elsewhere: TensorFlow.js `tf.train.adam` takes ε = 1e-7 and has neither weight decay nor amsgrad. Keras and the paper's closing
 * remark of section 2 put ε before the bias correction ("epsilon hat"). optax `amsgrad` takes the maximum after the bias correction.
 */
export const adam: UpdateRuleFactory<AdamHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adam",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    amsgrad: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: ({ amsgrad }) => ({ expAvg: 0, expAvgSq: 0, ...(amsgrad && { maxExpAvgSq: 0 }) }),
  update(
    { param, grad, step, expAvg, expAvgSq, maxExpAvgSq },
    { lr, betas: [beta1, beta2], eps, weightDecay },
    structure,
  ) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const m = average(beta1, expAvg, g);
    const v = average(beta2, expAvgSq, square(g));
    const largest = structure.amsgrad ? max(maxExpAvgSq, v) : v;
    const root = add(div(sqrt(largest), sqrt(biasCorrection(beta2, step))), eps);
    return {
      param: sub(param, mul(div(lr, biasCorrection(beta1, step)), div(m, root))),
      expAvg: m,
      expAvgSq: v,
      ...(structure.amsgrad && { maxExpAvgSq: largest }),
    };
  },
});
