import { describe, expect, test } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  custom,
  cyclic,
  defineSchedule,
  exponential,
  inverseSqrt,
  linear,
  multiStep,
  oneCycle,
  oneCycleMomentum,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  type ScheduleFactory,
  type ScheduleOptions,
  sequence,
  step,
  valueAt,
  warmupCosine,
  wsd,
} from "@mm/optim-schedule";

/** float64 throughout: a handful of operations, each off by at most half an ulp (1.1e-16), and decimals that binary cannot hold. */
const tolerance = 1e-15;

/** How far the values after 0, 1, 2, … counts are from those expected, at most, as a share of the first value. */
function strays(
  schedule: Schedule | readonly Schedule[],
  start: number,
  expected: readonly number[],
): number {
  const off = expected.map((value, updates) => Math.abs(valueAt(schedule, { updates }, start) - value));
  return Math.max(...off) / start;
}

describe("from a value of 8, after 0, 1, 2, … counts", () => {
  test.each<readonly [string, Schedule, readonly number[]]>([
    ["constant", constant({ factor: 0.5 }), [4, 4, 4, 4]],
    ["constant for a while", constant({ factor: 0.5, length: 2 }), [4, 4, 8, 8]],
    // 1/4 + 3/4 × 0/3, 1/3, 2/3, 3/3
    ["linear", linear({ startFactor: 0.25, length: 3 }), [2, 4, 6, 8, 8]],
    ["linear to 0", linear({ startFactor: 1, endFactor: 0, length: 4 }), [8, 6, 4, 2, 0, 0]],
    ["step", step({ stepSize: 2, gamma: 0.5 }), [8, 8, 4, 4, 2, 2, 1]],
    ["multi-step, a milestone twice", multiStep({ milestones: [3, 1, 3], gamma: 0.5 }), [8, 4, 4, 1, 1]],
    ["exponential", exponential({ gamma: 0.5 }), [8, 4, 2, 1, 0.5]],
    ["exponential for a while", exponential({ gamma: 0.5, length: 2 }), [8, 4, 2, 2, 2]],
    // cos 0°, 60°, 120°, 180° = 1, 1/2, −1/2, −1: shares of 1, 3/4, 1/4, 0
    ["cosine", cosine({ length: 3 }), [8, 6, 2, 0, 0]],
    ["cosine to a floor", cosine({ length: 3, etaMin: 4 }), [8, 7, 5, 4, 4]],
    ["cosine to a share of the value", cosine({ length: 3, etaMinRatio: 0.5 }), [8, 7, 5, 4, 4]],
    ["cosine up again, as PyTorch's", cosine({ tMax: 3 }), [8, 6, 2, 0, 2, 6, 8, 6]],
    ["cosine up again for a while", cosine({ tMax: 3, length: 5 }), [8, 6, 2, 0, 2, 6, 6]],
    // The second begins at 8 × 1/2 = 4 and takes cos 0°, 90°.
    [
      "cosine with restarts",
      cosineRestarts({ periods: [3, 2], restartWeights: [1, 0.5] }),
      [8, 6, 2, 4, 2, 0, 0],
    ],
    ["cosine with restarts to a floor", cosineRestarts({ periods: [2, 2], etaMin: 2 }), [8, 5, 8, 5, 2, 2]],
    // (1 − 0/4)², (3/4)², (2/4)², (1/4)² = 1, 9/16, 1/4, 1/16
    ["polynomial", polynomial({ length: 4, power: 2 }), [8, 4.5, 2, 0.5, 0, 0]],
    [
      "polynomial to a floor",
      polynomial({ length: 4, power: 2, etaMinRatio: 0.5 }),
      [8, 6.25, 5, 4.25, 4, 4],
    ],
    // From 8/4 = 2 up to 8 in half of 4 counts, down to 2/2 = 1.
    [
      "one-cycle",
      oneCycle({ length: 4, pctStart: 0.5, divFactor: 4, finalDivFactor: 2 }),
      [2, 5, 8, 4.5, 1, 1],
    ],
    [
      "one-cycle to a peak of its own, in straight lines",
      oneCycle({
        length: 4,
        pctStart: 0.25,
        divFactor: 4,
        finalDivFactor: 1,
        etaMax: 4,
        annealStrategy: "linear",
      }),
      [1, 4, 3, 2, 1],
    ],
    [
      "one-cycle in three phases",
      oneCycle({ length: 4, pctStart: 0.25, divFactor: 4, finalDivFactor: 2, threePhase: true }),
      [2, 8, 2, 1.5, 1, 1],
    ],
    // To 0.25 × 8 = 2 in 4 counts and back in 2.
    ["cyclic", cyclic({ baseRatio: 0.25, up: 4, down: 2 }), [2, 3.5, 5, 6.5, 8, 5, 2, 3.5]],
    // Heights of 6, 3, 1.5 above 2.
    [
      "cyclic, each half as high",
      cyclic({ baseRatio: 0.25, up: 1, mode: "triangular2" }),
      [2, 8, 2, 5, 2, 3.5, 2],
    ],
    // Heights of 6 × 0.5^count at the peaks, after 1, 3 and 5 counts.
    [
      "cyclic that shrinks",
      cyclic({ baseRatio: 0.25, up: 1, mode: "expRange", gamma: 0.5 }),
      [2, 5, 2, 2.75, 2, 2.1875],
    ],
    // 0/2, 1/2 of 8; then the cosine of 3 counts.
    ["warm-up and cosine", warmupCosine({ warmup: 2, length: 5 }), [0, 4, 8, 6, 2, 0, 0]],
    [
      "warm-up from a share, and a cosine to a floor",
      warmupCosine({ warmup: 2, length: 5, startFactor: 0.5, etaMin: 4 }),
      [4, 6, 8, 7, 5, 4, 4],
    ],
    ["warm-up, stable, decay", wsd({ warmup: 2, length: 7, decay: 2 }), [0, 4, 8, 8, 8, 8, 4, 0, 0]],
    [
      "stable and decay by a cosine to a share",
      wsd({ length: 5, decay: 3, decayType: "cosine", etaMinRatio: 0.5 }),
      [8, 8, 8, 7, 5, 4, 4],
    ],
    // 8 − 8 × √(1/4), √(2/4), √(3/4), √(4/4)
    [
      "stable and decay by a root",
      wsd({ length: 5, decay: 4, decayType: "sqrt" }),
      [8, 8, 4, 8 - 8 * Math.SQRT1_2, 8 - 4 * Math.sqrt(3), 0],
    ],
    // 8 × 0/2, 1/2; then 8 × √(2 ÷ count): 8 at 2, 4 at 8.
    [
      "inverse square root",
      inverseSqrt({ warmup: 2 }),
      [
        0,
        4,
        8,
        8 * Math.sqrt(2 / 3),
        8 * Math.SQRT1_2,
        8 * Math.sqrt(2 / 5),
        8 / Math.sqrt(3),
        8 * Math.sqrt(2 / 7),
        4,
      ],
    ],
    // 8 × √(3 ÷ (count + 3)): half after 3 × 3 counts.
    [
      "inverse square root without a warm-up",
      inverseSqrt({ timescale: 3 }),
      [
        8,
        8 * Math.sqrt(3 / 4),
        8 * Math.sqrt(3 / 5),
        8 * Math.SQRT1_2,
        8 * Math.sqrt(3 / 7),
        8 * Math.sqrt(3 / 8),
        8 / Math.sqrt(3),
        8 * Math.sqrt(3 / 10),
        8 * Math.sqrt(3 / 11),
        4,
      ],
    ],
    // Down to 4 in 2 of 4 counts and back up to the value.
    [
      "one-cycle momentum",
      oneCycleMomentum({ length: 4, pctStart: 0.5, baseMomentum: 4 }),
      [8, 6, 4, 6, 8, 8],
    ],
    [
      "one-cycle momentum between two numbers, in three phases and straight lines",
      oneCycleMomentum({
        length: 10,
        pctStart: 0.4,
        baseMomentum: 4,
        maxMomentum: 6,
        annealStrategy: "linear",
        threePhase: true,
      }),
      [6, 5.5, 5, 4.5, 4, 4.5, 5, 5.5, 6, 6, 6, 6],
    ],
    // Each begins anew from 8, with a count of 0.
    [
      "a sequence",
      sequence([exponential({ gamma: 0.5 }), cosine({ length: 3 })], [2]),
      [8, 4, 8, 6, 2, 0, 0],
    ],
    [
      "a sequence that begins later",
      sequence({
        schedules: [constant({ factor: 0.5 }), step({ stepSize: 1, gamma: 0.5 })],
        milestones: [1],
        begin: 2,
      }),
      [8, 8, 4, 8, 4, 2],
    ],
    ["custom", custom((count, value) => value / (count + 1)), [8, 4, 8 / 3, 2]],
  ])("%s", (_, schedule, expected) => {
    expect(strays(schedule, 8, expected)).toBeLessThan(tolerance);
  });
});

test("before `begin` the value passes, and counts are from there", () => {
  expect(strays(step({ stepSize: 1, gamma: 0.5, begin: 2 }), 8, [8, 8, 8, 4, 2])).toBeLessThan(tolerance);
  expect(strays(linear({ startFactor: 0.25, length: 3, begin: 1 }), 8, [8, 2, 4, 6, 8, 8])).toBeLessThan(
    tolerance,
  );
});

test("a warm-up and a cosine: each takes what the one before it made", () => {
  const schedules = [linear({ startFactor: 0.5, length: 2 }), cosine({ begin: 2, length: 3 })];
  expect(strays(schedules, 8, [4, 6, 8, 6, 2, 0, 0])).toBeLessThan(tolerance);
  // Where they overlap, their factors multiply: 1/2, 3/4, 1 and 1, 1/2, 1/4.
  expect(
    strays([linear({ startFactor: 0.5, length: 2 }), exponential({ gamma: 0.5 })], 8, [4, 3, 2, 1]),
  ).toBeLessThan(tolerance);
});

test("epochs are counted apart from updates", () => {
  const schedules = [
    linear({ startFactor: 0.5, length: 10 }),
    step({ stepSize: 1, gamma: 0.1, by: "epoch" }),
  ];
  expect(valueAt(schedules, { updates: 10, epochs: 0 }, 1)).toBe(1);
  expect(valueAt(schedules, { updates: 0, epochs: 1 }, 1)).toBe(0.05);
});

test("both ends are exact, whatever rounds in between", () => {
  for (const value of [0.1, 1 / 3, 1e-3, 0.7]) {
    for (const schedule of [
      cosine({ length: 7, etaMin: 0.03 }),
      polynomial({ length: 7, power: 0.9, etaMin: 0.03 }),
      cosineRestarts({ periods: [3, 4], etaMin: 0.03 }),
    ]) {
      expect(schedule.at(0, value)).toBe(value);
      expect(schedule.at(7, value)).toBe(0.03);
    }
    expect(linear({ length: 7 }).at(7, value)).toBe(value);
    expect(oneCycle({ length: 10 }).at(3, value)).toBe(value);
  }
});

test("a floor of its own lets every group end alike, a ratio keeps them apart", () => {
  const ends = (schedule: Schedule): readonly number[] => [0.1, 0.01].map((lr) => schedule.at(10, lr));
  expect(ends(cosine({ length: 10, etaMin: 1e-3 }))).toEqual([1e-3, 1e-3]);
  expect(ends(cosine({ length: 10, etaMinRatio: 0.01 }))).toEqual([1e-3, 1e-4]);
});

test("says what it is, with its defaults, and shares nothing with what it was given", () => {
  const milestones = [3, 6];
  const schedule = multiStep({ milestones });
  milestones.push(1);
  expect(schedule).toMatchObject({ kind: "schedule", type: "multiStep", by: "update" });
  expect(schedule.options).toEqual({ milestones: [3, 6], gamma: 0.1 });
  expect(Object.isFrozen(schedule.options) && Object.isFrozen(schedule.options["milestones"])).toBe(true);
  expect(schedule.with({ milestones: [1], by: "epoch" }).at(1, 1)).toBe(0.1);
});

test("a kind of one's own is checked, saved and recreated like the others", () => {
  interface InverseSquareRoot extends ScheduleOptions {
    readonly timescale?: number;
  }
  const inverseSquareRoot: ScheduleFactory<InverseSquareRoot> = defineSchedule({
    type: "inverseSquareRoot",
    fields: () => ({ "timescale?": [(value: unknown) => value === 4 || value === 1, "1 or 4"] }),
    defaults: { timescale: 4 },
    at:
      ({ timescale }) =>
      (count, value) =>
        value / Math.sqrt(Math.max(1, count / timescale)),
  });
  const schedule = inverseSquareRoot({});
  expect([0, 4, 16, 64].map((count) => schedule.at(count, 1))).toEqual([1, 1, 0.5, 0.25]);
  expect(schedule.with({ timescale: 1 }).at(16, 1)).toBe(0.25);
  expect(() => inverseSquareRoot({ timescale: 2 })).toThrow(
    "inverseSquareRoot.timescale: expected 1 or 4, got 2",
  );
});

describe("reduce-on-plateau", () => {
  /** The value of 8 after each measure. */
  function follow(schedule: Schedule, measures: readonly number[]): readonly number[] {
    let state = schedule.start;
    return measures.map((measure) => {
      state = schedule.observe(state, measure);
      return schedule.at(0, 8, state);
    });
  }

  test("bears `patience` measures that are no better", () => {
    const schedule = reduceOnPlateau({ factor: 0.5, patience: 1 });
    expect(follow(schedule, [3, 2, 2, 2, 2, 2, 1])).toEqual([8, 8, 8, 4, 4, 2, 2]);
    // 1.5 and 1.2 are better than what was best before them: the row of bad ones begins anew.
    expect(follow(schedule, [2, 2, 1.5, 1.6, 1.2, 1.3])).toEqual([8, 8, 8, 8, 8, 8]);
    expect(schedule.at(0, 8)).toBe(8);
  });

  test.each([
    // Better than 10 is below 10 × (1 − 0.1) = 9, above 10 × (1 + 0.1) = 11, below 10 − 0.5, above 10 + 0.5.
    ["min", "rel", 0.1, 8.99, 9.01],
    ["max", "rel", 0.1, 11.01, 10.99],
    ["min", "abs", 0.5, 9.49, 9.51],
    ["max", "abs", 0.5, 10.51, 10.49],
  ] as const)("%s, %s %d", (mode, thresholdMode, threshold, better, worse) => {
    const schedule = reduceOnPlateau({ mode, thresholdMode, threshold, factor: 0.5, patience: 0 });
    expect(follow(schedule, [10, better])).toEqual([8, 8]);
    expect(follow(schedule, [10, worse])).toEqual([8, 4]);
  });

  test("rests after a reduction", () => {
    const schedule = reduceOnPlateau({ factor: 0.5, patience: 0, cooldown: 2 });
    expect(follow(schedule, [1, 1, 1, 1, 1, 1])).toEqual([8, 4, 4, 4, 2, 2]);
  });

  test("stops at the floor, and where a reduction would be no more than eps", () => {
    const many = [1, 1, 1, 1, 1];
    const options = { factor: 0.5, patience: 0 };
    expect(follow(reduceOnPlateau({ ...options, etaMin: 3 }), many)).toEqual([8, 4, 3, 3, 3]);
    expect(follow(reduceOnPlateau({ ...options, etaMinRatio: 0.25 }), many)).toEqual([8, 4, 2, 2, 2]);
    // 8 → 4 → 2 are reductions by more than 1, 2 → 1 is not.
    expect(follow(reduceOnPlateau({ ...options, eps: 1 }), many)).toEqual([8, 4, 2, 2, 2]);
    // A value that another schedule made lower than the floor is not raised to it.
    const low = reduceOnPlateau({ ...options, etaMin: 20 });
    expect(follow(low, many)).toEqual([8, 8, 8, 8, 8]);
  });

  test("a measure that is not finite is never better", () => {
    const schedule = reduceOnPlateau({ factor: 0.5, patience: 0 });
    expect(follow(schedule, [Number.NaN, 3, Number.NEGATIVE_INFINITY, 2])).toEqual([4, 4, 2, 2]);
  });
});
