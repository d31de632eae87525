import { defineUpdateRule, mul, sign, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { descent, average, decayed } from "./terms.ts";

export interface SignumHyperparameters {
  lr: number;
  /** β, decay rate of the average gradient; 0 is signSGD, without a slot. */
  momentum: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Signum, and signSGD without momentum (Bernstein et al., arXiv:1802.04434, algorithms 1 and 2).
 *
 * ```
 * m ← βm + (1 − β)g
 * θ ← θ(1 − ηλ) − η·sign(m)
 * ```
 *
 * Slots: `momentumBuffer` m where β > 0.
 *
 * Elsewhere: MXNet's Signum calls this decay `wd_lh`, and has an L2 penalty `wd` too.
 */
export const signum: UpdateRuleFactory<SignumHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Signum",
  hyperparameters: { lr: 1e-3, momentum: 0.9, weightDecay: 0, maximize: false },
  check: ({ lr, momentum, weightDecay }) =>
    firstReason(atLeastZero({ lr, weightDecay }), belowOne({ momentum })),
  structure: ({ momentum, weightDecay }) => ({ hasMomentum: momentum !== 0, decays: weightDecay !== 0 }),
  slots: ({ hasMomentum }) => (hasMomentum ? { momentumBuffer: 0 } : {}),
  update({ param, grad, momentumBuffer }, { lr, momentum, weightDecay }, { hasMomentum, decays, maximize }) {
    const g = descent(grad, maximize);
    const m = hasMomentum ? average(momentum, momentumBuffer, g) : g;
    return {
      param: sub(decayed(param, lr, weightDecay, decays), mul(lr, sign(m))),
      ...(hasMomentum && { momentumBuffer: m }),
    };
  },
});
