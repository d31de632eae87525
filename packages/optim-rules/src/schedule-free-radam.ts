import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  gt,
  mul,
  select,
  sqrt,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { averageLength, rectifier } from "./rectification.ts";
import { scheduleFreePoint, scheduleFreeStep, strictlyBetween, weightsOfFloat32 } from "./schedule-free.ts";
import { average, descent, square } from "./terms.ts";

export interface ScheduleFreeRadamHyperparameters {
  lr: number;
  /** How far the parameter is from z towards the average, and the decay rate of the average of the gradient's square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ: adds λy to the direction, not divided by the root. */
  weightDecay: number;
  /** r: weighs the t-th step of the average with tʳ. */
  r: number;
  /** p: weighs it with the p-th power of the largest learning rate so far, too. */
  weightLrPower: number;
  /** Stand still until the rectifier is there. Otherwise the first steps are those of SGD. */
  silentSgdPhase: boolean;
  maximize: boolean;
}

/**
 * Schedule-free rectified Adam, as `RAdamScheduleFree` of facebookresearch/schedule_free: {@link scheduleFreeAdamw} with RAdam's rectifier in the place of a
 * warm-up (Defazio et al., arXiv:2405.15682; Liu et al., arXiv:1908.03265).
 *
 * ```
 * v ← β₂v + (1 − β₂)g²
 * ρ∞ = 2/(1 − β₂) − 1,   ρ = ρ∞ − 2tβ₂ᵗ/(1 − β₂ᵗ)
 * γ = ηr, d = g/(√(v/(1 − β₂ᵗ)) + ε) + λy                where ρ > 4: r = √((ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ))
 * γ = 0, or η without a silent phase, d = g + λy          else
 * c = w/Σw with w = tʳ·γmaxᵖ                              0 where Σw = 0
 * y ← (1 − c)y + cz − γ(1 − β₁(1 − c))·d
 * z ← z − γd
 * x = y + (1 − 1/β₁)(z − y)                               the evaluation point
 * ```
 *
 * The parameter is y while it trains: `wrapper.evaluating(run)` runs at x. Slots: `z`, which begins as the parameter, `expAvgSq` v; scalar
 * slots `weightSum` Σw and `lrMax` γmax. Where tfjs ops compute ρ on a device, see {@link radam}.
 *
 * Elsewhere: the authors' code counts t for a whole group, ours for each parameter.
 */
export const scheduleFreeRadam: UpdateRuleFactory<ScheduleFreeRadamHyperparameters> =
  /* @__PURE__ */ defineUpdateRule({
    name: "RAdamScheduleFree",
    hyperparameters: {
      lr: 2.5e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      r: 0,
      weightLrPower: 2,
      silentSgdPhase: true,
      maximize: false,
    },
    check: ({ lr, betas, eps, weightDecay, r, weightLrPower }) =>
      firstReason(
        atLeastZero({ lr, eps, weightDecay, r, weightLrPower }),
        belowOne({ betas }),
        strictlyBetween("betas[0]", betas[0]),
        weightsOfFloat32(lr, weightLrPower),
      ),
    structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
    slots: () => ({ z: "param", expAvgSq: 0 }),
    scalarSlots: () => ({ weightSum: 0, lrMax: 0 }),
    update(
      x,
      { lr, betas: [beta1, beta2], eps, weightDecay, ...weighting },
      { decays, silentSgdPhase, maximize },
    ) {
      const g = descent(x.grad, maximize);
      const v = average(beta2, x.expAvgSq, square(g));
      const age = averageLength(beta2, x.step);
      const rectifies = gt(age.length, 4);
      const rate = mul(lr, select(rectifies, rectifier(age), silentSgdPhase ? 0 : 1));
      // Dividing by 1 keeps one division for both branches: it is exact.
      const root = select(rectifies, add(sqrt(div(v, biasCorrection(beta2, x.step))), eps), 1);
      const d = div(g, root);
      const direction = decays ? add(d, mul(weightDecay, x.param)) : d;
      return { ...scheduleFreeStep(x, direction, rate, beta1, weighting), expAvgSq: v };
    },
    evaluate: (x, { betas: [beta1] }) => scheduleFreePoint(x, beta1),
  });
