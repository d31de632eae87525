import {
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  max,
  min,
  mul,
  sqrt,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { scheduleFreePoint, scheduleFreeStep, strictlyBetween, weightsOfFloat32 } from "./schedule-free.ts";
import { average, descent, square } from "./terms.ts";

export interface ScheduleFreeAdamwHyperparameters {
  lr: number;
  /** How far the parameter is from z towards the average, and the decay rate of the average of the gradient's square. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root, after the bias correction. */
  eps: number;
  /** λ: adds λy to the direction, not divided by the root. */
  weightDecay: number;
  /** Decay rate of an average of the gradient; above 0 it brings the slot `expAvg`. */
  innerMomentum: number;
  /** Steps over which the learning rate rises evenly. 0: none. */
  warmupSteps: number;
  /** r: weighs the t-th step of the average with tʳ. */
  r: number;
  /** p: weighs it with the p-th power of the largest learning rate so far, too. */
  weightLrPower: number;
  maximize: boolean;
}

/**
 * Schedule-free AdamW (Defazio et al., "The Road Less Scheduled", arXiv:2405.15682), as `AdamWScheduleFree` of
 * facebookresearch/schedule_free: needs no schedule, and is used at an average of where it was.
 *
 * ```
 * γ = η·min(1, t/warmup)
 * v ← β₂v + (1 − β₂)g²,   d = g/(√(v/(1 − β₂ᵗ)) + ε) + λy
 * a ← ia + (1 − i)g, and a/(1 − iᵗ) for g in d            with an inner momentum i
 * c = w/Σw with w = tʳ·γmaxᵖ
 * y ← (1 − c)y + cz − γ(1 − β₁(1 − c))·d
 * z ← z − γd
 * x = y + (1 − 1/β₁)(z − y)                               the evaluation point
 * ```
 *
 * The parameter is y while it trains: `wrapper.evaluating(run)` runs at x. Slots: `z`, which begins as the parameter, `expAvgSq` v, with an
 * inner momentum `expAvg` a; scalar slots `weightSum` Σw and `lrMax` γmax.
 *
 * Elsewhere: the authors' code counts t for a whole group, ours for each parameter.
 */
export const scheduleFreeAdamw: UpdateRuleFactory<ScheduleFreeAdamwHyperparameters> =
  /* @__PURE__ */ defineUpdateRule({
    name: "AdamWScheduleFree",
    hyperparameters: {
      lr: 2.5e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      innerMomentum: 0,
      warmupSteps: 0,
      r: 0,
      weightLrPower: 2,
      maximize: false,
    },
    check: ({ betas, innerMomentum, ...others }) =>
      firstReason(
        atLeastZero({ lr: others.lr, eps: others.eps, weightDecay: others.weightDecay }),
        atLeastZero({ warmupSteps: others.warmupSteps, r: others.r, weightLrPower: others.weightLrPower }),
        belowOne({ betas, innerMomentum }),
        strictlyBetween("betas[0]", betas[0]),
        weightsOfFloat32(others.lr, others.weightLrPower),
      ),
    structure: ({ weightDecay, innerMomentum }) => ({
      decays: weightDecay !== 0,
      averages: innerMomentum !== 0,
    }),
    slots: ({ averages }) => ({ z: "param", expAvgSq: 0, ...(averages && { expAvg: 0 }) }),
    scalarSlots: () => ({ weightSum: 0, lrMax: 0 }),
    update(x, { lr, betas: [beta1, beta2], eps, weightDecay, ...others }, structure) {
      const { decays, averages, maximize } = structure;
      const { innerMomentum, warmupSteps, ...weighting } = others;
      const rate = mul(lr, min(1, div(x.step, max(1, warmupSteps))));
      const g = descent(x.grad, maximize);
      const v = average(beta2, x.expAvgSq, square(g));
      const a = averages ? average(innerMomentum, x.expAvg, g) : g;
      const d = div(
        averages ? div(a, biasCorrection(innerMomentum, x.step)) : a,
        add(sqrt(div(v, biasCorrection(beta2, x.step))), eps),
      );
      const direction = decays ? add(d, mul(weightDecay, x.param)) : d;
      return {
        ...scheduleFreeStep(x, direction, rate, beta1, weighting),
        expAvgSq: v,
        ...(averages && { expAvg: a }),
      };
    },
    evaluate: (x, { betas: [beta1] }) => scheduleFreePoint(x, beta1),
  });
