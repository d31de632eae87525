import { aFactor, defineSchedule } from "./define.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface ConstantOptions extends ScheduleOptions {
  readonly factor: number;
}

/**
 * `value × factor` for `length` counts, then `value`. Without `length`, always the factor.
 *
 * `torch.optim.lr_scheduler.ConstantLR` (`total_iters` is `length`).
 */
export const constant: ScheduleFactory<ConstantOptions> = /* @__PURE__ */ defineSchedule({
  type: "constant",
  fields: () => ({ factor: aFactor }),
  defaults: {},
  at:
    ({ factor, length }) =>
    (count, value) =>
      count === length ? value : value * factor,
});
