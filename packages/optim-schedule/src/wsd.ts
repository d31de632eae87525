import { integerFrom, oneOf } from "@mm/optim-core/schema";
import { aFactor, defineSchedule } from "./define.ts";
import { checkFloor, floorFields, floorOf, type FloorOptions } from "./floor.ts";
import { mix, mixByCosine } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface WsdOptions extends ScheduleOptions, FloorOptions {
  /** Counts from `startFactor` to the whole value. Default 0: no warm-up. */
  readonly warmup?: number;
  /** Counts of all three parts together. */
  readonly length: number;
  /** The last so many counts go down to the floor. */
  readonly decay: number;
  /** The form of the way down: a straight line (default), half a cosine, or value − (value − floor) × √share. */
  readonly decayType?: "linear" | "cosine" | "sqrt";
  /** The share of the value that it begins with. Default 0: the first update changes nothing. */
  readonly startFactor?: number;
}

/**
 * Warm-up, stable, decay: up along a straight line, the value as it is, and down at the end. A run can be made longer without another schedule up
 * to there.
 *
 * Hu et al., MiniCPM, arXiv:2404.06395, section 4; `"sqrt"`: Hägele et al., arXiv:2405.18392. `get_wsd_schedule` of Transformers.
 */
export const wsd: ScheduleFactory<WsdOptions> = /* @__PURE__ */ defineSchedule({
  type: "wsd",
  fields: () => ({
    ...floorFields,
    "warmup?": integerFrom(0),
    length: integerFrom(1),
    decay: integerFrom(1),
    "decayType?": oneOf("linear", "cosine", "sqrt"),
    "startFactor?": aFactor,
  }),
  defaults: { warmup: 0, decayType: "linear", startFactor: 0 },
  check: (options) =>
    options.warmup + options.decay <= options.length
      ? checkFloor(options)
      : ["decay", "with warmup, at most as many counts as length"],
  at({ warmup, length, decay, decayType, startFactor, ...floor }) {
    const down = decayType === "cosine" ? mixByCosine : mix;
    return (count, value, group) => {
      if (count < warmup) return value * mix(startFactor, 1, count / warmup);
      const share = Math.max(0, (count - (length - decay)) / decay);
      return down(value, floorOf(floor, value, group), decayType === "sqrt" ? Math.sqrt(share) : share);
    };
  },
  turns: ({ warmup, length, decay }) => [warmup, length - decay],
  counts: ["warmup", "decay"],
});
