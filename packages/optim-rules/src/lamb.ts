import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  min,
  mul,
  norm,
  type Scalar,
  sqrt,
  sub,
  type Tensor,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { coupledOrNot } from "./coupling.ts";
import { average, correctedRoot, decayed, descent, square, whereBothAreAboveZero } from "./terms.ts";

export interface LambHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ: λθ joins the direction before its norm is taken. Use a group with 0 for biases and normalization. */
  weightDecay: number;
  /** Whether λ is of a decay that shrinks the parameter by 1 − ηλ before the step, instead of joining the direction. */
  decoupledWeightDecay: boolean;
  /** Multiply what joins m by 1 − β₁. */
  gradAveraging: boolean;
  /** Correct the bias of both averages. */
  biasCorrected: boolean;
  /** Let the ratio be at most 1. */
  trustClip: boolean;
  /** Take the ratio where λ = 0, too. NVIDIA and timm do not, so that such a group is driven by Adam. */
  alwaysAdapt: boolean;
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
 * Elsewhere: optax `lamb` has λ = 0 as its default. NVIDIA's FusedLAMB and timm's LAMB have `alwaysAdapt: false`, and clip the global norm to 1
 * (here: the wrapper's `clipGrad`).
 */
export const lamb: UpdateRuleFactory<LambHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "LAMB",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-6,
    weightDecay: 1e-2,
    decoupledWeightDecay: false,
    gradAveraging: true,
    biasCorrected: true,
    trustClip: false,
    alwaysAdapt: true,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: (h) => ({ ...coupledOrNot(h), adapts: h.alwaysAdapt || h.weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(x, { lr, betas: [beta1, beta2], eps, weightDecay }, structure) {
    const g = descent(x.grad, structure.maximize);
    const m = structure.gradAveraging ? average(beta1, x.expAvg, g) : add(mul(beta1, x.expAvg), g);
    const v = average(beta2, x.expAvgSq, square(g));
    const adapted = structure.biasCorrected
      ? div(div(m, biasCorrection(beta1, x.step)), correctedRoot(v, beta2, x.step, eps))
      : div(m, add(sqrt(v), eps));
    const direction = structure.decays ? add(adapted, mul(weightDecay, x.param)) : adapted;
    const param = decayed(x.param, lr, weightDecay, structure.shrinks);
    const rate = structure.adapts ? mul(lr, trustRatio(param, direction, structure.trustClip)) : lr;
    return { param: sub(param, mul(rate, direction)), expAvg: m, expAvgSq: v };
  },
});

/** ‖θ‖/‖r‖, 1 where a norm is 0. */
function trustRatio(param: Tensor, direction: Tensor, clips: boolean): Scalar {
  const [length, size] = [norm(param), norm(direction)];
  const ratio = whereBothAreAboveZero(length, size, div(length, size), 1);
  return clips ? min(ratio, 1) : ratio;
}
