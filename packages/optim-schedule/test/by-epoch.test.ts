import {
  byEpoch,
  constant,
  cosine,
  cosineRestarts,
  custom,
  cyclic,
  exponential,
  inverseSqrt,
  linear,
  multiStep,
  oneCycle,
  oneCycleMomentum,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  sequence,
  step,
  warmupCosine,
  wsd,
} from "@mm/optim-schedule";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const by = "epoch";

describe("a schedule by epoch, at 10 updates an epoch", () => {
  test.each<readonly [string, Schedule, object]>([
    ["constant", constant({ factor: 0.5, begin: 1, length: 2, by }), { factor: 0.5, begin: 10, length: 20 }],
    ["linear", linear({ length: 3, by }), { startFactor: 1 / 3, endFactor: 1, length: 30 }],
    ["step", step({ stepSize: 3, by }), { stepSize: 30, gamma: 0.1 }],
    ["multiStep", multiStep({ milestones: [8, 11], by }), { milestones: [80, 110], gamma: 0.1 }],
    ["cosine", cosine({ tMax: 4, length: 12, by }), { tMax: 40, length: 120 }],
    [
      "cosineRestarts",
      cosineRestarts({ periods: [1, 2], restartWeights: [1, 0.5], by }),
      { periods: [10, 20], restartWeights: [1, 0.5] },
    ],
    ["polynomial", polynomial({ length: 3, power: 2, by }), { length: 30, power: 2 }],
    ["oneCycle", oneCycle({ length: 3, by }), { length: 30, pctStart: 0.3 }],
    ["oneCycleMomentum", oneCycleMomentum({ length: 3, by }), { length: 30, pctStart: 0.3 }],
    ["cyclic", cyclic({ baseRatio: 0.1, up: 2, down: 3, by }), { baseRatio: 0.1, up: 20, down: 30 }],
    ["warmupCosine", warmupCosine({ warmup: 1, length: 3, by }), { warmup: 10, length: 30 }],
    ["wsd", wsd({ warmup: 1, decay: 2, length: 4, by }), { warmup: 10, decay: 20, length: 40 }],
    ["inverseSqrt", inverseSqrt({ warmup: 1, timescale: 2, by }), { warmup: 10, timescale: 20 }],
    [
      "sequence",
      sequence({
        schedules: [linear({ length: 2, by }), step({ stepSize: 3, by })],
        milestones: [2],
        begin: 1,
      }),
      {
        schedules: [
          { type: "linear", options: { startFactor: 1 / 3, endFactor: 1, length: 20, by: "update" } },
          { type: "step", options: { stepSize: 30, gamma: 0.1, by: "update" } },
        ],
        milestones: [20],
        begin: 10,
      },
    ],
  ])("%s", (type, schedule, options) => {
    const converted = byEpoch(schedule, 10);
    expect(converted).toMatchObject({ type, by: "update", options });
    // At the ends of epochs both are alike, but for where a form is finer than an epoch: within a few roundings of float64.
    for (const epochs of [0, 1, 2, 3, 4, 5]) {
      const off = Math.abs(converted.at(10 * epochs, 0.7) - schedule.at(epochs, 0.7));
      expect(off, `after ${epochs} epochs`).toBeLessThanOrEqual(1e-15);
    }
  });
});

test.each<readonly [string, Schedule, string]>([
  ["one by update", cosine({ length: 3 }), 'byEpoch: by: expected "epoch", got "update"'],
  [
    "a factor at every count, which would be taken 10 times an epoch",
    exponential({ gamma: 0.9, by }),
    "byEpoch: expected a schedule without a factor per count: for updates, exponential({ gamma: gamma ** (1 / n) })",
  ],
  [
    "the same in a cycle",
    cyclic({ baseRatio: 0.1, up: 2, mode: "expRange", gamma: 0.9, by }),
    "byEpoch: expected a schedule without a factor per count",
  ],
  [
    "the same in a sequence",
    sequence([exponential({ gamma: 0.9, by })], []),
    "byEpoch.schedules[0]: expected a schedule without a factor per count",
  ],
  [
    "a function of counts",
    custom((count) => count, { by }),
    "byEpoch: expected a schedule whose counts are known",
  ],
  ["a measure", reduceOnPlateau(), 'byEpoch: by: expected "epoch", got "update"'],
  ["what is none", { type: "cosine" } as never, "byEpoch: expected a schedule such as cosine"],
])("byEpoch refuses %s", (_, schedule, message) => {
  expect(thrownBy(() => byEpoch(schedule, 10)).message).toContain(message);
});

test.each([0, 1.5, undefined as never, "10" as never])("byEpoch refuses %s updates an epoch", (updates) => {
  expect(thrownBy(() => byEpoch(cosine({ length: 3, by }), updates)).message).toMatch(
    /^byEpoch: updatesPerEpoch: expected an integer of at least 1, got /,
  );
});
