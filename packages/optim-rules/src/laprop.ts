import {
  add,
  defineUpdateRule,
  div,
  eq,
  mul,
  select,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, decayed, descent, square } from "./terms.ts";

export interface LapropHyperparameters {
  lr: number;
  /** Decay rates of the averages of the normalized gradient and of the gradient's square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the decoupled decay: the factor 1 − ηλ shrinks the parameter after the step. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * LaProp (Ziyin et al., arXiv:2002.04839, algorithm 1), as the authors' code and timm's: the gradient is normalized before it joins the
 * momentum, which Adam does the other way round. So any β₁ is safe with any β₂.
 *
 * ```
 * v ← β₂v + (1 − β₂)g²          l₂ ← β₂l₂ + (1 − β₂)
 * m ← β₁m + (1 − β₁)η·g/(√(v/l₂) + ε)     l₁ ← β₁l₁ + (1 − β₁)η
 * θ ← (θ − m·η/l₁)(1 − ηλ)
 * ```
 *
 * Slots: `expAvg` m, which holds the learning rate, `expAvgSq` v; scalar slots `expAvgLr1` l₁, `expAvgLr2` l₂, the bias corrections, in
 * float64.
 */
export const laprop: UpdateRuleFactory<LapropHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "LaProp",
  hyperparameters: { lr: 4e-4, betas: [0.9, 0.999], eps: 1e-15, weightDecay: 0, maximize: false },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  scalarSlots: () => ({ expAvgLr1: 0, expAvgLr2: 0 }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, { decays, maximize }) {
    const g = descent(x.grad, maximize);
    const v = average(beta2, x.expAvgSq, square(g));
    const l1 = add(mul(beta1, x.expAvgLr1), mul(sub(1, beta1), lr));
    const l2 = add(mul(beta2, x.expAvgLr2), sub(1, beta2));
    const normalized = div(g, add(sqrt(div(v, l2)), eps));
    const m = add(mul(beta1, x.expAvg), mul(mul(sub(1, beta1), lr), normalized));
    // With η = 0 from the start l₁ is 0, and so is m.
    const corrected = mul(select(eq(l1, 0), 1, div(lr, l1)), m);
    return {
      param: sub(decayed(x.param, lr, weightDecay, decays), decayed(corrected, lr, weightDecay, decays)),
      expAvg: m,
      expAvgSq: v,
      expAvgLr1: l1,
      expAvgLr2: l2,
    };
  },
});
