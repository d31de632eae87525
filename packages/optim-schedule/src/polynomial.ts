import { aPositive, integerFrom } from "@mm/optim-core/schema";
import { defineSchedule } from "./define.ts";
import { checkFloor, floorFields, floorOf, type FloorOptions } from "./floor.ts";
import { mix } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface PolynomialOptions extends ScheduleOptions, FloorOptions {
  readonly length: number;
  /** Above 0. Default 1: a straight line. */
  readonly power?: number;
}

/**
 * `floor + (value − floor) × (1 − count ÷ length)^power`.
 *
 * MMEngine's `PolyLR`; `torch.optim.lr_scheduler.PolynomialLR` (`total_iters` is `length`), which has no floor.
 */
export const polynomial: ScheduleFactory<PolynomialOptions> = /* @__PURE__ */ defineSchedule({
  type: "polynomial",
  fields: () => ({ ...floorFields, length: integerFrom(1), "power?": aPositive }),
  defaults: { power: 1 },
  check: (options) => checkFloor(options),
  at:
    ({ length, power, ...floor }) =>
    (count, value, group) =>
      mix(floorOf(floor, value, group), value, (1 - count / length) ** power),
});
