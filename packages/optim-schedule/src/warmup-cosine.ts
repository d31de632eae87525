import { integerFrom } from "@mm/optim-core/schema";
import { aFactor, defineSchedule } from "./define.ts";
import { checkFloor, floorFields, floorOf, type FloorOptions } from "./floor.ts";
import { mix, mixByCosine } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface WarmupCosineOptions extends ScheduleOptions, FloorOptions {
  /** Counts from `startFactor` to the whole value. */
  readonly warmup: number;
  /** Counts of both together. */
  readonly length: number;
  /** The share of the value that it begins with. Default 0: the first update changes nothing. */
  readonly startFactor?: number;
}

/**
 * Along a straight line up to the value in `warmup` counts, then half a cosine down to a floor, which is reached at `length`.
 *
 * `get_cosine_schedule_with_warmup` of Transformers (`num_training_steps` is `length`); timm's `CosineLRScheduler` (`warmup_lr_init` as a
 * share).
 */
export const warmupCosine: ScheduleFactory<WarmupCosineOptions> = /* @__PURE__ */ defineSchedule({
  type: "warmupCosine",
  fields: () => ({
    ...floorFields,
    warmup: integerFrom(0),
    length: integerFrom(1),
    "startFactor?": aFactor,
  }),
  defaults: { startFactor: 0 },
  check: (options) =>
    options.warmup < options.length ? checkFloor(options) : ["warmup", "fewer counts than length"],
  at:
    ({ warmup, length, startFactor, ...floor }) =>
    (count, value, group) =>
      count < warmup
        ? value * mix(startFactor, 1, count / warmup)
        : mixByCosine(value, floorOf(floor, value, group), (count - warmup) / (length - warmup)),
  turns: ({ warmup }) => [warmup],
  counts: ["warmup"],
});
