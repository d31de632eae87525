import { defineUpdateRule, mul, sign, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { adamStep, average, decayed, descent, square } from "./terms.ts";

export interface YogiHyperparameters {
  lr: number;
  /** Decay rates of the average of the gradient, and of what follows its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** The value that both slots hold before the first step. */
  initialAccumulatorValue: number;
  maximize: boolean;
}

/**
 * Yogi (Zaheer et al., "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018, algorithm 2): Adam whose second moment moves by a
 * bounded amount towards g².
 *
 * ```
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g
 * v ← v − (1 − β₂)·sign(v − g²)·g²
 * θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v, which start as `initialAccumulatorValue`.
 *
 * Elsewhere: optax `yogi` has this start and these defaults, and no decay. The paper has no bias correction, and starts v at the square of a
 * large batch's first gradient.
 */
export const yogi: UpdateRuleFactory<YogiHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Yogi",
  hyperparameters: {
    lr: 1e-2,
    betas: [0.9, 0.999],
    eps: 1e-3,
    weightDecay: 0,
    initialAccumulatorValue: 1e-6,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay, initialAccumulatorValue }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay, initialAccumulatorValue }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({
    expAvg: ({ initialAccumulatorValue }) => initialAccumulatorValue,
    expAvgSq: ({ initialAccumulatorValue }) => initialAccumulatorValue,
  }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, { decays, maximize }) {
    const g = descent(x.grad, maximize);
    const m = average(beta1, x.expAvg, g);
    const v = sub(x.expAvgSq, mul(mul(sub(1, beta2), sign(sub(x.expAvgSq, square(g)))), square(g)));
    const step = adamStep(m, v, x.step, { lr, betas: [beta1, beta2], eps });
    return { param: sub(decayed(x.param, lr, weightDecay, decays), step), expAvg: m, expAvgSq: v };
  },
});
