import { integerFrom } from "@mm/optim-core/schema";
import { aFactor, defineSchedule } from "./define.ts";
import { checkFloor, floorFields, floorOf, type FloorOptions } from "./floor.ts";
import { mixByCosine } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface CosineOptions extends ScheduleOptions, FloorOptions {
  /** Counts from the value to the floor, where it stays. */
  readonly length?: number;
  /**
   * PyTorch's `T_max`: counts from the value to the floor, and as many up again, and so on, until `length`. One of the two must be
   * there; default: `length`.
   */
  readonly tMax?: number;
}

/**
 * `floor + (value − floor) × (1 + cos(π × count ÷ tMax)) ÷ 2`: half a cosine down to a floor, and there it stays.
 *
 * Loshchilov & Hutter, SGDR, arXiv:1608.03983, equation 5, without restarts; `torch.optim.lr_scheduler.CosineAnnealingLR`. PyTorch
 * and MMEngine go up again after `T_max`; with `tMax` in place of `length`, so does this.
 */
export const cosine: ScheduleFactory<CosineOptions> = /* @__PURE__ */ defineSchedule({
  type: "cosine",
  fields: () => ({ ...floorFields, "tMax?": integerFrom(1) }),
  defaults: {},
  check: (options) =>
    (options.length ?? options.tMax) === undefined
      ? ["length", "counts down to the floor (or tMax, to go up again)"]
      : checkFloor(options),
  at:
    ({ length = 1, tMax = length, ...floor }) =>
    (count, value, group) =>
      mixByCosine(value, floorOf(floor, value, group), count / tMax),
  counts: ["tMax"],
  turns: ({ length = 1, tMax = length }) => [tMax],
});

export interface CosineRestartsOptions extends ScheduleOptions, FloorOptions {
  /** Counts from one restart to the next. */
  readonly periods: readonly number[];
  /** The beginning of each period, as a share of the value. Default: all 1. */
  readonly restartWeights?: readonly number[];
}

/**
 * Cosines one after the other, each from the value (or a share of it) to the floor. After the last one it stays at the floor.
 *
 * Loshchilov & Hutter, SGDR, arXiv:1608.03983, section 3; MMEngine's `CosineRestartLR`.
 * `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts` with `T_0 = 10, T_mult = 2` has the periods 10, 20, 40, ….
 */
export const cosineRestarts: ScheduleFactory<CosineRestartsOptions> = /* @__PURE__ */ defineSchedule({
  type: "cosineRestarts",
  fields: () => ({
    ...floorFields,
    periods: { items: integerFrom(1) },
    "restartWeights?": { items: aFactor },
  }),
  defaults: {},
  check: (options) => {
    const { periods, restartWeights = periods } = options;
    if (periods.length === 0) return ["periods", "at least one period"];
    return restartWeights.length === periods.length
      ? checkFloor(options)
      : ["restartWeights", "as many as there are periods"];
  },
  counts: ["periods"],
  at: (options) => (count, value, group) => {
    let passed = 0;
    let index = 0;
    const { periods, restartWeights } = options;
    while (index < periods.length - 1 && count >= passed + (periods[index] as number)) {
      passed += periods[index++] as number;
    }
    const top = value * (restartWeights?.[index] ?? 1);
    return mixByCosine(
      top,
      floorOf(options, value, group),
      Math.min(1, (count - passed) / (periods[index] as number)),
    );
  },
  span: ({ periods }) => periods.reduce((sum, period) => sum + period, 0),
  // The top of each period, and the lowest count before it.
  turns: ({ periods }) => {
    let passed = 0;
    return periods.flatMap((period) => [(passed += period) - 1, passed]);
  },
});
