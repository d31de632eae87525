import { integerFrom, oneOf } from "@mm/optim-core/schema";
import { aFactor, defineSchedule } from "./define.ts";
import { mix } from "./mix.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface CyclicOptions extends ScheduleOptions {
  /** The lowest value as a share of the group's own, which is the highest. */
  readonly baseRatio: number;
  /** Counts from the lowest to the highest. */
  readonly up: number;
  /** Counts back down. Default: `up`. */
  readonly down?: number;
  /** Whether all peaks are alike (default), each is half as high as the one before it, or they shrink by `gamma` at every count. */
  readonly mode?: "triangular" | "triangular2" | "expRange";
  /** With `"expRange"`, and only there. Default 1. */
  readonly gamma?: number;
}

/**
 * Up and down along straight lines, again and again, between a share of the value and the value.
 *
 * Smith, Cyclical Learning Rates, arXiv:1506.01186; `torch.optim.lr_scheduler.CyclicLR` (`base_lr` is `baseRatio × max_lr`, `step_size_up` is
 * `up`).
 */
export const cyclic: ScheduleFactory<CyclicOptions> = /* @__PURE__ */ defineSchedule({
  type: "cyclic",
  fields: () => ({
    baseRatio: aFactor,
    up: integerFrom(1),
    "down?": integerFrom(1),
    "mode?": oneOf("triangular", "triangular2", "expRange"),
    "gamma?": aFactor,
  }),
  defaults: { mode: "triangular" },
  check: ({ mode, gamma }) =>
    gamma !== undefined && mode !== "expRange" ? ["gamma", 'nothing without mode: "expRange"'] : undefined,
  at:
    ({ baseRatio, up, down = up, mode, gamma = 1 }) =>
    (count, value) => {
      const cycle = Math.floor(count / (up + down));
      const within = count - cycle * (up + down);
      const height = within <= up ? within / up : (up + down - within) / down;
      const scale = { triangular: 1, triangular2: 0.5 ** cycle, expRange: gamma ** count }[mode];
      return value * mix(baseRatio, 1, height * scale);
    },
  turns: ({ up, down = up }) => [up, up + down],
  counts: ["up", "down"],
  perCount: ({ mode }) =>
    mode === "expRange" ? "a schedule without a factor per count: for updates, gamma ** (1 / n)" : undefined,
});
