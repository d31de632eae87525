import { defineUpdateRule, div, max, min, mul, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, firstReason } from "./check.ts";
import { scheduleFreePoint, scheduleFreeStep, strictlyBetween, weightsOfFloat32 } from "./schedule-free.ts";
import { penalized } from "./terms.ts";

export interface ScheduleFreeSgdHyperparameters {
  lr: number;
  /** β, how far the parameter is from z towards the average. */
  momentum: number;
  /** λ of the L2 penalty. */
  weightDecay: number;
  /** Steps over which the learning rate rises evenly. 0: none. */
  warmupSteps: number;
  /** r: weighs the t-th step of the average with tʳ. */
  r: number;
  /** p: weighs it with the p-th power of the largest learning rate so far, too. */
  weightLrPower: number;
  maximize: boolean;
}

/**
 * Schedule-free SGD (Defazio et al., "The Road Less Scheduled", arXiv:2405.15682), as `SGDScheduleFree` of
 * facebookresearch/schedule_free: needs no schedule, and is used at an average of where it was.
 *
 * ```
 * γ = η·min(1, t/warmup),   d = g + λy
 * c = w/Σw with w = tʳ·γmaxᵖ
 * y ← (1 − c)y + cz − γ(1 − β(1 − c))·d
 * z ← z − γd
 * x = y + (1 − 1/β)(z − y)                                the evaluation point
 * ```
 *
 * The parameter is y while it trains: `wrapper.evaluating(run)` runs at x. Slots: `z`, which begins as the parameter; scalar slots
 * `weightSum` Σw and `lrMax` γmax.
 *
 * Elsewhere: the authors' code counts t for a whole group, ours for each parameter.
 */
export const scheduleFreeSgd: UpdateRuleFactory<ScheduleFreeSgdHyperparameters> =
  /* @__PURE__ */ defineUpdateRule({
    name: "SGDScheduleFree",
    hyperparameters: {
      lr: 1,
      momentum: 0.9,
      weightDecay: 0,
      warmupSteps: 0,
      r: 0,
      weightLrPower: 2,
      maximize: false,
    },
    check: ({ lr, momentum, weightDecay, warmupSteps, r, weightLrPower }) =>
      firstReason(
        atLeastZero({ lr, momentum, weightDecay, warmupSteps, r, weightLrPower }),
        strictlyBetween("momentum", momentum),
        weightsOfFloat32(lr, weightLrPower),
      ),
    structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
    slots: () => ({ z: "param" }),
    scalarSlots: () => ({ weightSum: 0, lrMax: 0 }),
    update(x, { lr, momentum, weightDecay, warmupSteps, ...weighting }, structure) {
      const rate = mul(lr, min(1, div(x.step, max(1, warmupSteps))));
      return scheduleFreeStep(x, penalized(x, weightDecay, structure), rate, momentum, weighting);
    },
    evaluate: (x, { momentum }) => scheduleFreePoint(x, momentum),
  });
