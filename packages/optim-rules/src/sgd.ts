import { add, defineUpdateRule, max, mul, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, firstReason } from "./check.ts";
import { penalized } from "./terms.ts";

export interface SgdHyperparameters {
  lr: number;
  /** μ; above 0 it brings the slot `momentumBuffer`. */
  momentum: number;
  /** τ, the share of each gradient but the first that the momentum does not take in. */
  dampening: number;
  /** λ of the L2 penalty, added to the gradient. */
  weightDecay: number;
  nesterov: boolean;
  maximize: boolean;
}

/**
 * Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al., ICML 2013), as `torch.optim.SGD`.
 *
 * ```
 * g ← g + λθ
 * b ← g the first time that momentum is on, afterwards μb + (1 − τ)g
 * g ← b, or g + μb with Nesterov's
 * θ ← θ − ηg
 * ```
 *
 * Slots: `momentumBuffer` b where μ > 0; scalar slot `momentumStarted`, 1 once b took in a gradient, which tells the first time.
 *
 * Elsewhere: Sutskever et al. put η inside the buffer (b ← μb − ηg), which differs where the learning rate changes. TensorFlow.js
 * `tf.train.momentum` has no dampening and no weight decay. optax `sgd` has no dampening.
 */
export const sgd: UpdateRuleFactory<SgdHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "SGD",
  hyperparameters: { lr: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false },
  check: ({ lr, momentum, dampening, weightDecay, nesterov }) =>
    firstReason(
      atLeastZero({ lr, momentum, weightDecay }),
      nesterov && (momentum === 0 || dampening !== 0)
        ? "a momentum above 0 and no dampening with nesterov"
        : undefined,
    ),
  structure: ({ momentum, dampening, weightDecay }) => ({
    hasMomentum: momentum !== 0,
    dampens: momentum !== 0 && dampening !== 0,
    decays: weightDecay !== 0,
  }),
  slots: ({ hasMomentum }) => (hasMomentum ? { momentumBuffer: 0 } : {}),
  scalarSlots: (_, { hasMomentum }) => (hasMomentum ? { momentumStarted: 0 } : {}),
  update(
    { param, grad, momentumBuffer, momentumStarted },
    { lr, momentum, dampening, weightDecay },
    structure,
  ) {
    const g = penalized({ param, grad }, weightDecay, structure);
    if (!structure.hasMomentum) return { param: sub(param, mul(lr, g)) };
    // The buffer holds 0 before the first gradient, so only the dampening has to know that it is the first.
    const taken = structure.dampens ? mul(sub(1, mul(dampening, momentumStarted)), g) : g;
    const buffer = add(mul(momentum, momentumBuffer), taken);
    const direction = structure.nesterov ? add(g, mul(momentum, buffer)) : buffer;
    return {
      param: sub(param, mul(lr, direction)),
      momentumBuffer: buffer,
      momentumStarted: max(momentumStarted, 1),
    };
  },
});
