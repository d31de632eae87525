import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  gt,
  mul,
  select,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { coupledOrNot } from "./coupling.ts";
import { averageLength, rectifier } from "./rectification.ts";
import { average, decayed, penalized, square } from "./terms.ts";

export interface RadamHyperparameters {
  lr: number;
  /** Decay rates of the averages of the gradient and of its square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, before the bias correction. */
  eps: number;
  /** λ of the L2 penalty, or of decoupled decay with `decoupledWeightDecay`. */
  weightDecay: number;
  /** Shrink the parameter by 1 − ηλ instead of adding λθ to the gradient, as the authors' code does. */
  decoupledWeightDecay: boolean;
  maximize: boolean;
}

/**
 * Rectified Adam (Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", arXiv:1908.03265), as `torch.optim.RAdam`.
 *
 * ```
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g²
 * ρ∞ = 2/(1 − β₂) − 1,   ρ = ρ∞ − 2tβ₂ᵗ/(1 − β₂ᵗ)
 * r = √((ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ))
 * θ ← θ − η/(1 − β₁ᵗ) · m · r·√(1 − β₂ᵗ)/(√v + ε)     where ρ > 5
 * θ ← θ − η/(1 − β₁ᵗ) · m                             else
 * ```
 *
 * Slots: `expAvg` m, `expAvgSq` v.
 *
 * ρ is a small difference of large numbers: in float32 it is off by about ρ∞·1e-7. Where tfjs ops compute it on a device, β₂ = 0.999
 * leaves r right to 2.3e-4; above that the step at which it begins may move by one. `@mm/optim-webgpu` computes it with 48 bits.
 *
 * Elsewhere: the paper rectifies where ρ > 4, the authors' code where ρ ≥ 5. optax `radam` does where ρ ≥ 5, and adds ε after the bias
 * correction.
 */
export const radam: UpdateRuleFactory<RadamHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "RAdam",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    decoupledWeightDecay: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: coupledOrNot,
  slots: () => ({ expAvg: 0, expAvgSq: 0 }),
  update(
    { param, grad, step, expAvg, expAvgSq },
    { lr, betas: [beta1, beta2], eps, weightDecay },
    structure,
  ) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const m = average(beta1, expAvg, g);
    const v = average(beta2, expAvgSq, square(g));
    const age = averageLength(beta2, step);
    const rectifies = gt(age.length, 5);
    const scale = select(rectifies, mul(rectifier(age), sqrt(biasCorrection(beta2, step))), 1);
    // Dividing by 1 keeps one division for both branches: it is exact.
    const root = select(rectifies, add(sqrt(v), eps), 1);
    return {
      param: sub(
        decayed(param, lr, weightDecay, structure.shrinks),
        mul(mul(div(lr, biasCorrection(beta1, step)), scale), div(m, root)),
      ),
      expAvg: m,
      expAvgSq: v,
    };
  },
});
