import { integerFrom } from "@mm/optim-core/schema";
import { aFactor, defineSchedule } from "./define.ts";
import { mix } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface LinearOptions extends ScheduleOptions {
  /** Default ⅓, PyTorch's. */
  readonly startFactor?: number;
  /** Default 1. */
  readonly endFactor?: number;
  readonly length: number;
}

/**
 * `value × (startFactor + (endFactor − startFactor) × count ÷ length)`: a straight line, up for a warm-up, down for a decay
 * (`{ startFactor: 1, endFactor: 0 }`).
 *
 * `torch.optim.lr_scheduler.LinearLR` (`total_iters` is `length`).
 */
export const linear: ScheduleFactory<LinearOptions> = /* @__PURE__ */ defineSchedule({
  type: "linear",
  fields: () => ({ "startFactor?": aFactor, "endFactor?": aFactor, length: integerFrom(1) }),
  defaults: { startFactor: 1 / 3, endFactor: 1 },
  at:
    ({ startFactor, endFactor, length }) =>
    (count, value) =>
      value * mix(startFactor, endFactor, count / length),
});
