import {
  defineUpdateRule,
  div,
  eq,
  max,
  mul,
  pow,
  select,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import type { AdamwHyperparameters } from "./adamw.ts";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { coupledOrNot } from "./coupling.ts";
import { average, clipped, decayed, penalized, square } from "./terms.ts";

/** Those of AdamW, of which ε is the smallest divisor and λ of an L2 penalty, and: */
export interface AdoptHyperparameters extends Omit<AdamwHyperparameters, "amsgrad"> {
  /** c: the normalized gradient is clipped to ±(t − 1)ᶜ. timm takes 0.333. */
  clipExponent: number;
  /** Clip the normalized gradient. */
  clips: boolean;
  /** Shrink the parameter by 1 − ηλ instead of adding λθ to the gradient. */
  decoupledWeightDecay: boolean;
}

/**
 * ADOPT (Taniguchi et al., arXiv:2411.02853, algorithm 2), as the authors' code: Adam that converges with any β₂, since a gradient is
 * divided by a second moment that does not hold it.
 *
 * ```
 * g ← g + λθ
 * t = 1:  v ← g², and nothing else
 * n = clip(g / max(√v, ε), ±(t − 1)ᶜ)         v of the step before
 * m ← β₁m + (1 − β₁)n
 * θ ← θ − ηm
 * v ← β₂v + (1 − β₂)g²
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v.
 */
export const adopt: UpdateRuleFactory<AdoptHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "ADOPT",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.9999],
    eps: 1e-6,
    weightDecay: 0,
    clipExponent: 0.25,
    clips: true,
    decoupledWeightDecay: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay, clipExponent }) =>
    firstReason(atLeastZero({ lr, weightDecay, eps, clipExponent }), belowOne({ betas })),
  structure: coupledOrNot,
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay, clipExponent }, structure) {
    const g = penalized(x, weightDecay, structure);
    const first = eq(x.step, 1);
    const normalized = div(g, max(sqrt(x.expAvgSq), eps));
    const taken = structure.clips ? clipped(normalized, pow(sub(x.step, 1), clipExponent)) : normalized;
    const m = select(first, x.expAvg, average(beta1, x.expAvg, taken));
    const rate = select(first, 0, lr);
    const v = select(first, square(g), average(beta2, x.expAvgSq, square(g)));
    const param = sub(decayed(x.param, rate, weightDecay, structure.shrinks), mul(rate, m));
    return { param, expAvg: m, expAvgSq: v };
  },
});
