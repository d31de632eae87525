import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  mul,
  sign,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";

export interface YogiHyperparameters {
  lr: number;
  betas: readonly [beta1: number, beta2: number];
  eps: number;
  /** Decoupled: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** The content of the slot `expAvgSq` before the first step. */
  initialAccumulatorValue: number;
}

/**
 * Yogi (Zaheer et al., "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018, algorithm 2).
 *
 * m ← β₁m + (1 − β₁)g
 * v ← v − (1 − β₂)·sign(v − g²)·g²
 * θ ← θ(1 − ηλ) − η/(1 − β₁ᵗ) · m / (√(v/(1 − β₂ᵗ)) + ε)
 */
export const yogi: UpdateRuleFactory<YogiHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Yogi",
  hyperparameters: {
    lr: 1e-2,
    betas: [0.9, 0.999],
    eps: 1e-3,
    weightDecay: 0,
    initialAccumulatorValue: 1e-6,
  },
  check: ({ betas }) => (betas.every((beta) => beta >= 0 && beta < 1) ? undefined : "betas in [0, 1)"),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: ({ initialAccumulatorValue }) => initialAccumulatorValue }),
  update(
    { param, grad, step, expAvg, expAvgSq },
    { lr, betas: [beta1, beta2], eps, weightDecay },
    { decays },
  ) {
    const m = add(mul(beta1, expAvg), mul(sub(1, beta1), grad));
    const squared = mul(grad, grad);
    const v = sub(expAvgSq, mul(sub(1, beta2), mul(sign(sub(expAvgSq, squared)), squared)));
    const root = add(sqrt(div(v, biasCorrection(beta2, step))), eps);
    const shrunk = decays ? mul(param, sub(1, mul(lr, weightDecay))) : param;
    return {
      param: sub(shrunk, mul(div(lr, biasCorrection(beta1, step)), div(m, root))),
      expAvg: m,
      expAvgSq: v,
    };
  },
});
