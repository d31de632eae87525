import { defineUpdateRule, mul, sign, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { descent, average, decayed } from "./terms.ts";

export interface LionHyperparameters {
  /** About a tenth to a third of what AdamW takes, with a weight decay as many times larger (section 5 of the paper). */
  lr: number;
  /** Weight of the momentum in the direction, and its decay rate. */
  betas: readonly [beta1: number, beta2: number];
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Lion, "evolved sign momentum" (Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675, program 1). Half of
 * Adam's state.
 *
 * ```
 * θ ← θ(1 − ηλ) − η·sign(β₁m + (1 − β₁)g)
 * m ← β₂m + (1 − β₂)g
 * ```
 *
 * Slots: `expAvg` m.
 *
 * Elsewhere: optax `lion` has λ = 1e-3 as its default; the authors' code 0, as here.
 */
export const lion: UpdateRuleFactory<LionHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Lion",
  hyperparameters: { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0, maximize: false },
  check: ({ lr, betas, weightDecay }) => firstReason(atLeastZero({ lr, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0 }),
  update({ param, grad, expAvg }, { lr, betas: [beta1, beta2], weightDecay }, { decays, maximize }) {
    const g = descent(grad, maximize);
    const direction = sign(average(beta1, expAvg, g));
    return {
      param: sub(decayed(param, lr, weightDecay, decays), mul(lr, direction)),
      expAvg: average(beta2, expAvg, g),
    };
  },
});
