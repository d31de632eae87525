import {
  add,
  biasCorrection,
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
import { descent, average, decayed, square } from "./terms.ts";

export interface AdanHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient, of its change, and of the square. The paper's β are 1 minus these. */
  betas: readonly [beta1: number, beta2: number, beta3: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the decoupled decay. */
  weightDecay: number;
  /** Shrink the parameter by 1 − ηλ before the step, as AdamW, instead of dividing by 1 + ηλ after it. */
  noProx: boolean;
  maximize: boolean;
}

/**
 * Adan, adaptive Nesterov momentum (Xie et al., arXiv:2208.06677, algorithm 1), as the authors' code. Clip the gradients with
 * `clipGrad: { maxNorm }` of the wrapper, which the authors' code does inside.
 *
 * ```
 * d = g − g′, and 0 at the first step         g′ the gradient before
 * m ← β₁m + (1 − β₁)g
 * u ← β₂u + (1 − β₂)d
 * n ← β₃n + (1 − β₃)(g + β₂d)²
 * θ ← (θ − η(m/(1 − β₁ᵗ) + β₂u/(1 − β₂ᵗ)) / (√n/√(1 − β₃ᵗ) + ε)) / (1 + ηλ)
 * g′ ← g
 * ```
 *
 * Slots: `expAvg` m, `expAvgDiff` u, `expAvgSq` n, `prev` g′: 16 bytes a parameter. The authors' state has −g′ as `neg_pre_grad`.
 */
export const adan: UpdateRuleFactory<AdanHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Adan",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.98, 0.92, 0.99],
    eps: 1e-8,
    weightDecay: 0,
    noProx: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay, noProx }) => ({
    shrinksBefore: weightDecay !== 0 && noProx,
    shrinksAfter: weightDecay !== 0 && !noProx,
  }),
  slots: () => ({ expAvg: 0, expAvgDiff: 0, expAvgSq: 0, prev: 0 }),
  update(
    { param, grad, step, expAvg, expAvgDiff, expAvgSq, prev },
    { lr, betas: [beta1, beta2, beta3], eps, weightDecay },
    { shrinksBefore, shrinksAfter, maximize },
  ) {
    const g = descent(grad, maximize);
    const change = select(eq(step, 1), 0, sub(g, prev));
    const m = average(beta1, expAvg, g);
    const u = average(beta2, expAvgDiff, change);
    const n = average(beta3, expAvgSq, square(add(g, mul(beta2, change))));
    const root = add(div(sqrt(n), sqrt(biasCorrection(beta3, step))), eps);
    const direction = add(
      mul(div(lr, biasCorrection(beta1, step)), m),
      mul(div(mul(lr, beta2), biasCorrection(beta2, step)), u),
    );
    const next = sub(decayed(param, lr, weightDecay, shrinksBefore), div(direction, root));
    return {
      param: shrinksAfter ? div(next, add(1, mul(lr, weightDecay))) : next,
      expAvg: m,
      expAvgDiff: u,
      expAvgSq: n,
      prev: g,
    };
  },
});
