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
import { descent, average, decayed, square } from "./terms.ts";

export interface AdamwHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** Divide by the largest v̂ so far (Reddi et al., arXiv:1904.09237). Brings the slot `maxExpAvgSq`. */
  amsgrad: boolean;
  maximize: boolean;
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101, algorithm 2), as `torch.optim.AdamW`.
 *
 * ```
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²          with amsgrad, x ← max(x, v) takes its place below
 * θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v, with amsgrad `maxExpAvgSq` x.
 *
 * Elsewhere: the paper decays by a schedule multiplier times λ, not by ηλ. optax `adamw` has λ = 1e-4 as its default, and adds λθ to
 * the direction before multiplying by −η, which is the same in exact arithmetic.
 */
export const adamw: UpdateRuleFactory<AdamwHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "AdamW",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 1e-2,
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
    { decays, amsgrad, maximize },
  ) {
    const g = descent(grad, maximize);
    const m = average(beta1, expAvg, g);
    const v = average(beta2, expAvgSq, square(g));
    const largest = amsgrad ? max(maxExpAvgSq, v) : v;
    const root = add(div(sqrt(largest), sqrt(biasCorrection(beta2, step))), eps);
    return {
      param: sub(
        decayed(param, lr, weightDecay, decays),
        mul(div(lr, biasCorrection(beta1, step)), div(m, root)),
      ),
      expAvg: m,
      expAvgSq: v,
      ...(amsgrad && { maxExpAvgSq: largest }),
    };
  },
});
