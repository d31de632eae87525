import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  mul,
  pow,
  type Scalar,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { coupledOrNot } from "./coupling.ts";
import { average, decayed, penalized, square } from "./terms.ts";

export interface NadamHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ of the L2 penalty, or of decoupled decay with `decoupledWeightDecay`. */
  weightDecay: number;
  /** ψ, how fast the momentum μ warms up from β₁/2 to β₁. */
  momentumDecay: number;
  /** Shrink the parameter by 1 − ηλ instead of adding λθ to the gradient. */
  decoupledWeightDecay: boolean;
  maximize: boolean;
}

/**
 * Adam with Nesterov momentum (Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016), as `torch.optim.NAdam` of
 * PyTorch 2.
 *
 * ```
 * g ← g + λθ
 * μₜ = β₁(1 − ½·0.96^(tψ))      M ← Mμₜ, from 1
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²
 * θ ← θ − η((1 − μₜ)/(1 − M)·g + μₜ₊₁/(1 − Mμₜ₊₁)·m) / (√(v/(1 − β₂ᵗ)) + ε)
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v; scalar slot `muProduct` M, kept in float64.
 *
 * Elsewhere: PyTorch 1.13 multiplies by a μ too many in its single-tensor path; it is a defect, and 2.x has it no more. optax `nadam`
 * does not warm the momentum up: μ is β₁.
 */
export const nadam: UpdateRuleFactory<NadamHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "NAdam",
  hyperparameters: {
    lr: 2e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    momentumDecay: 4e-3,
    decoupledWeightDecay: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay, momentumDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay, momentumDecay }), belowOne({ betas })),
  structure: coupledOrNot,
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  scalarSlots: () => ({ muProduct: 1 }),
  update(
    { param, grad, step, expAvg, expAvgSq, muProduct },
    { lr, betas: [beta1, beta2], eps, weightDecay, momentumDecay },
    structure,
  ) {
    const mu = (t: Scalar): Scalar => mul(beta1, sub(1, mul(0.5, pow(0.96, mul(t, momentumDecay)))));
    const muNow = mu(step);
    const muNext = mu(add(step, 1));
    const product = mul(muProduct, muNow);
    const g = penalized({ param, grad }, weightDecay, structure);
    const m = average(beta1, expAvg, g);
    const v = average(beta2, expAvgSq, square(g));
    const direction = add(
      mul(div(mul(lr, sub(1, muNow)), sub(1, product)), g),
      mul(div(mul(lr, muNext), sub(1, mul(product, muNext))), m),
    );
    const root = add(sqrt(div(v, biasCorrection(beta2, step))), eps);
    return {
      param: sub(decayed(param, lr, weightDecay, structure.shrinks), div(direction, root)),
      expAvg: m,
      expAvgSq: v,
      muProduct: product,
    };
  },
});
