import { integerFrom } from "@mm/optim-core/schema";
import { aFactor, defineSchedule } from "./define.ts";
import type { ScheduleFactory, ScheduleOptions } from "./schedule.ts";

export interface StepScheduleOptions extends ScheduleOptions {
  readonly stepSize: number;
  /** Default 0.1. */
  readonly gamma?: number;
}

/** `value × gamma` to the number of `stepSize`s that have passed. `torch.optim.lr_scheduler.StepLR`. */
export const step: ScheduleFactory<StepScheduleOptions> = /* @__PURE__ */ defineSchedule({
  type: "step",
  counts: ["stepSize"],
  fields: () => ({ stepSize: integerFrom(1), "gamma?": aFactor }),
  defaults: { gamma: 0.1 },
  at:
    ({ stepSize, gamma }) =>
    (count, value) =>
      value * gamma ** Math.floor(count / stepSize),
});

export interface MultiStepOptions extends ScheduleOptions {
  /** Counts, in any order; one that is there twice counts twice. */
  readonly milestones: readonly number[];
  /** Default 0.1. */
  readonly gamma?: number;
}

/** `value × gamma` to the number of milestones that are reached. `torch.optim.lr_scheduler.MultiStepLR`. */
export const multiStep: ScheduleFactory<MultiStepOptions> = /* @__PURE__ */ defineSchedule({
  type: "multiStep",
  counts: ["milestones"],
  fields: () => ({ milestones: { items: integerFrom(0) }, "gamma?": aFactor }),
  defaults: { gamma: 0.1 },
  at:
    ({ milestones, gamma }) =>
    (count, value) =>
      value * gamma ** milestones.filter((milestone) => milestone <= count).length,
  span: ({ milestones }) => Math.max(0, ...milestones),
});

export interface ExponentialOptions extends ScheduleOptions {
  readonly gamma: number;
}

/** `value × gamma` to the count. `torch.optim.lr_scheduler.ExponentialLR`. */
export const exponential: ScheduleFactory<ExponentialOptions> = /* @__PURE__ */ defineSchedule({
  type: "exponential",
  perCount: () =>
    "a schedule without a factor per count: for updates, exponential({ gamma: gamma ** (1 / n) })",
  fields: () => ({ gamma: aFactor }),
  defaults: {},
  at:
    ({ gamma }) =>
    (count, value) =>
      value * gamma ** count,
});
