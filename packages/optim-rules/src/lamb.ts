import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  mul,
  norm,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { descent, average, square, whereBothAreAboveZero } from "./terms.ts";

export interface LambHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ, decoupled: λθ joins the direction before its norm is taken. Use a group with 0 for biases and normalization. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * LAMB, layer-wise adaptive moments for large batches (You et al., arXiv:1904.00962, algorithm 2, φ the identity). A layer is a tensor.
 *
 * ```
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²
 * r = m/(1 − β₁ᵗ) / (√v/√(1 − β₂ᵗ) + ε) + λθ
 * θ ← θ − η·‖θ‖/‖r‖·r                        the ratio is 1 where a norm is 0
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v. Costs a second pass over the tensors, for the norms.
 *
 * Elsewhere: optax `lamb` has λ = 0 as its default. Some codes leave out the bias correction. NVIDIA's FusedLAMB leaves the ratio out
 * where λ = 0 unless told `use_nvlamb`, and clips the global norm to 1 (here: the wrapper's `clipGrad`).
 */
export const lamb: UpdateRuleFactory<LambHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "LAMB",
  hyperparameters: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-6, weightDecay: 1e-2, maximize: false },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(
    { param, grad, step, expAvg, expAvgSq },
    { lr, betas: [beta1, beta2], eps, weightDecay },
    { decays, maximize },
  ) {
    const g = descent(grad, maximize);
    const m = average(beta1, expAvg, g);
    const v = average(beta2, expAvgSq, square(g));
    const root = add(div(sqrt(v), sqrt(biasCorrection(beta2, step))), eps);
    const adapted = div(div(m, biasCorrection(beta1, step)), root);
    const direction = decays ? add(adapted, mul(weightDecay, param)) : adapted;
    const [length, size] = [norm(param), norm(direction)];
    const ratio = whereBothAreAboveZero(length, size, div(length, size), 1);
    return { param: sub(param, mul(mul(lr, ratio), direction)), expAvg: m, expAvgSq: v };
  },
});
