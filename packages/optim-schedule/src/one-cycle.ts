import { aBoolean, aPositive, integerFrom, isFinite32, oneOf, type Test } from "@mm/optim-core/schema";
import { type ByGroup, finiteByGroup, ofGroup } from "./by-group.ts";
import { defineSchedule } from "./define.ts";
import { mix, mixByCosine } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface OneCycleOptions extends ScheduleOptions {
  /** Counts of the whole cycle. */
  readonly length: number;
  /** The peak, for every group, or by group. Default: the group's own value, which keeps the ratios between groups. */
  readonly etaMax?: number | ByGroup;
  /** The share of `length` at which the peak is reached. Default 0.3. */
  readonly pctStart?: number;
  /** The form of each phase. Default `"cos"`. */
  readonly annealStrategy?: "cos" | "linear";
  /** It starts at peak ÷ divFactor. Default 25. */
  readonly divFactor?: number;
  /** It ends at peak ÷ divFactor ÷ finalDivFactor. Default 10,000. */
  readonly finalDivFactor?: number;
  /** Down to the start first, in as many counts as up, then to the end. Default `false`: from the peak to the end. */
  readonly threePhase?: boolean;
}

export const aShare: Test = [
  (value: unknown) => isFinite32(value) && value > 0 && value < 1,
  "a number above 0 and below 1",
];

/**
 * Up to a peak and down, far below where it began.
 *
 * Smith & Topin, Super-convergence, arXiv:1708.07120; `torch.optim.lr_scheduler.OneCycleLR`, whose cycle has one count less than its
 * `total_steps`, whose peak is at `pct_start × total_steps − 1`, and which replaces the groups' learning rates by one `max_lr`.
 */
export const oneCycle: ScheduleFactory<OneCycleOptions> = /* @__PURE__ */ defineSchedule({
  type: "oneCycle",
  fields: () => ({
    length: integerFrom(1),
    "etaMax?": finiteByGroup,
    "pctStart?": aShare,
    "annealStrategy?": oneOf("cos", "linear"),
    "divFactor?": aPositive,
    "finalDivFactor?": aPositive,
    "threePhase?": aBoolean,
  }),
  defaults: {
    pctStart: 0.3,
    annealStrategy: "cos",
    divFactor: 25,
    finalDivFactor: 1e4,
    threePhase: false,
  },
  check: ({ threePhase, pctStart }) =>
    threePhase && pctStart >= 0.5 ? ["pctStart", "below 0.5 with threePhase"] : undefined,
  at({ length, etaMax, pctStart, annealStrategy, divFactor, finalDivFactor, threePhase }) {
    const between = annealStrategy === "cos" ? mixByCosine : mix;
    const peakAt = pctStart * length;
    return (count, value, group) => {
      const peak = etaMax === undefined ? value : ofGroup(etaMax, group, value);
      const start = peak / divFactor;
      const end = start / finalDivFactor;
      if (count <= peakAt) return between(start, peak, count / peakAt);
      if (!threePhase) return between(peak, end, (count - peakAt) / (length - peakAt));
      if (count <= 2 * peakAt) return between(peak, start, (count - peakAt) / peakAt);
      return between(start, end, (count - 2 * peakAt) / (length - 2 * peakAt));
    };
  },
  // A count is whole: the peak is between two of them.
  turns: ({ length, pctStart }) => [Math.floor(pctStart * length), Math.ceil(pctStart * length)],
});
