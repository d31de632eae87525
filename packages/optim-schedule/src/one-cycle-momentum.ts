import { aBoolean, aFinite, integerFrom, oneOf } from "@mm/optim-core/schema";
import { defineSchedule } from "./define.ts";
import { mix, mixByCosine } from "./mix.ts";
import { aShare, type OneCycleOptions } from "./one-cycle.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

/** `length`, `pctStart`, `annealStrategy` and `threePhase` as for the learning rate's {@link oneCycle}. */
export interface OneCycleMomentumOptions
  extends ScheduleOptions, Pick<OneCycleOptions, "length" | "pctStart" | "annealStrategy" | "threePhase"> {
  /** Counts of the whole cycle. */
  readonly length: number;
  /** The lowest momentum, where the learning rate is highest. Default 0.85. */
  readonly baseMomentum?: number;
  /** The momentum at both ends. Default: the group's own. PyTorch's is 0.95. */
  readonly maxMomentum?: number;
}

/**
 * The momentum that goes with {@link oneCycle}: down while the learning rate goes up, and up again.
 *
 * Smith & Topin, Super-convergence, arXiv:1708.07120; the momentum of `torch.optim.lr_scheduler.OneCycleLR` (`cycle_momentum`).
 */
export const oneCycleMomentum: ScheduleFactory<OneCycleMomentumOptions> = /* @__PURE__ */ defineSchedule({
  type: "oneCycleMomentum",
  fields: () => ({
    length: integerFrom(1),
    "baseMomentum?": aFinite,
    "maxMomentum?": aFinite,
    "pctStart?": aShare,
    "annealStrategy?": oneOf("cos", "linear"),
    "threePhase?": aBoolean,
  }),
  defaults: { baseMomentum: 0.85, pctStart: 0.3, annealStrategy: "cos", threePhase: false },
  check: ({ threePhase, pctStart }) =>
    threePhase && pctStart >= 0.5 ? ["pctStart", "below 0.5 with threePhase"] : undefined,
  at({ length, baseMomentum: low, maxMomentum, pctStart, annealStrategy, threePhase }) {
    const between = annealStrategy === "cos" ? mixByCosine : mix;
    const lowAt = pctStart * length;
    const highAt = threePhase ? 2 * lowAt : length;
    return (count, value) => {
      const high = maxMomentum ?? value;
      if (count <= lowAt) return between(high, low, count / lowAt);
      return count < highAt ? between(low, high, (count - lowAt) / (highAt - lowAt)) : high;
    };
  },
  turns: ({ length, pctStart }) =>
    [1, 2].flatMap((times) => {
      const turn = times * pctStart * length;
      return [Math.floor(turn), Math.ceil(turn)];
    }),
});
