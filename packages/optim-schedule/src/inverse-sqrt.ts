import { integerFrom } from "@mm/optim-core/schema";
import { defineSchedule } from "./define.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface InverseSqrtOptions extends ScheduleOptions {
  /** Counts from 0 to the whole value. Default 0: no warm-up. */
  readonly warmup?: number;
  /** How slowly it falls: after the warm-up it takes 3 × so many counts to half the value. Default: `warmup`. One of the two must be there. */
  readonly timescale?: number;
}

/**
 * `value × count ÷ warmup` up to the value, then `value × √(timescale ÷ (count − warmup + timescale))`: without an end. With `timescale` as by
 * default that is `value × √(warmup ÷ count)`.
 *
 * Vaswani et al., Attention Is All You Need, arXiv:1706.03762, section 5.3; `get_inverse_sqrt_schedule` of Transformers.
 */
export const inverseSqrt: ScheduleFactory<InverseSqrtOptions> = /* @__PURE__ */ defineSchedule({
  type: "inverseSqrt",
  fields: () => ({ "warmup?": integerFrom(0), "timescale?": integerFrom(1) }),
  defaults: { warmup: 0 },
  check: ({ warmup, timescale = warmup }) =>
    timescale === 0 ? ["timescale", "an integer of at least 1, or a warmup"] : undefined,
  at:
    ({ warmup, timescale = warmup }) =>
    (count, value) =>
      count < warmup ? (value * count) / warmup : value * Math.sqrt(timescale / (count - warmup + timescale)),
  turns: ({ warmup }) => [warmup],
  counts: ["warmup", "timescale"],
});
