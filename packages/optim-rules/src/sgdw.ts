import { add, defineUpdateRule, max, mul, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, firstReason } from "./check.ts";
import { decayed, descent } from "./terms.ts";

export interface SgdwHyperparameters {
  lr: number;
  /** μ; above 0 it brings the slot `momentumBuffer`. */
  momentum: number;
  /** τ, the share of each gradient but the first that the momentum does not take in. */
  dampening: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  nesterov: boolean;
  maximize: boolean;
}

/**
 * Stochastic gradient descent with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101, algorithm 1), as timm's `SGDW`.
 *
 * ```
 * θ ← θ(1 − ηλ)
 * b ← g the first time that momentum is on, afterwards μb + (1 − τ)g
 * θ ← θ − ηb, or θ − η(g + μb) with Nesterov's momentum
 * ```
 *
 * Slots: `momentumBuffer` b where μ > 0; scalar slot `momentumStarted`, 1 once b took in a gradient, which tells the first time.
 *
 * Elsewhere: the paper puts η inside the momentum, and decays by a schedule multiplier times λ, not by ηλ.
 */
export const sgdw: UpdateRuleFactory<SgdwHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "SGDW",
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
  update(x, { lr, momentum, dampening, weightDecay }, { hasMomentum, dampens, decays, nesterov, maximize }) {
    const g = descent(x.grad, maximize);
    const shrunk = decayed(x.param, lr, weightDecay, decays);
    if (!hasMomentum) return { param: sub(shrunk, mul(lr, g)) };
    // The buffer holds 0 before the first gradient, so only the dampening has to know that it is the first.
    const taken = dampens ? mul(sub(1, mul(dampening, x.momentumStarted)), g) : g;
    const buffer = add(mul(momentum, x.momentumBuffer), taken);
    const direction = nesterov ? add(g, mul(momentum, buffer)) : buffer;
    return {
      param: sub(shrunk, mul(lr, direction)),
      momentumBuffer: buffer,
      momentumStarted: max(x.momentumStarted, 1),
    };
  },
});
