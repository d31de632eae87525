import * as fc from "fast-check";
import {
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
  type ScheduleFactory,
  sequence,
  step,
  warmupCosine,
  wsd,
} from "@mm/optim-schedule";

const count = fc.integer({ min: 1, max: 40 });
const factor = fc.double({ min: 0.05, max: 1, noNaN: true });
const floor = fc.oneof(
  fc.record({}),
  fc.record({ etaMin: fc.double({ min: 0, max: 0.05, noNaN: true }) }),
  fc.record({ etaMin: fc.record({ head: fc.double({ min: 0, max: 0.05, noNaN: true }) }) }),
  fc.record({ etaMinRatio: fc.double({ min: 0, max: 0.5, noNaN: true }) }),
);
const common = fc.record(
  {
    begin: fc.integer({ min: 0, max: 10 }),
    by: fc.constantFrom("update" as const, "epoch" as const),
  },
  { requiredKeys: [] },
);

/** Schedules of one kind. */
function kind<O extends object>(make: ScheduleFactory<O>, options: fc.Arbitrary<O>): fc.Arbitrary<Schedule> {
  return fc.tuple(options, common).map(([own, other]) => make({ ...own, ...other }));
}

const withFloor = <O extends object>(options: fc.Arbitrary<O>) =>
  fc.tuple(options, floor).map(([own, low]) => ({ ...own, ...low }));

/** Schedules of every kind, by its name. */
export const kinds: Readonly<Record<string, fc.Arbitrary<Schedule>>> = {
  constant: kind(constant, fc.record({ factor, length: count })),
  linear: kind(linear, fc.record({ startFactor: factor, endFactor: factor, length: count })),
  step: kind(step, fc.record({ stepSize: count, gamma: factor })),
  multiStep: kind(multiStep, fc.record({ milestones: fc.array(count, { maxLength: 5 }), gamma: factor })),
  exponential: kind(exponential, fc.record({ gamma: factor, length: count })),
  cosine: kind(cosine, withFloor(fc.record({ length: count, tMax: count }))),
  cosineRestarts: kind(
    cosineRestarts,
    withFloor(fc.record({ periods: fc.array(count, { minLength: 1, maxLength: 3 }) })),
  ),
  polynomial: kind(
    polynomial,
    withFloor(fc.record({ length: count, power: fc.double({ min: 0.5, max: 3, noNaN: true }) })),
  ),
  oneCycle: kind(oneCycle, fc.record({ length: count, divFactor: fc.integer({ min: 2, max: 30 }) })),
  oneCycleMomentum: kind(
    oneCycleMomentum,
    fc.record({
      length: count,
      pctStart: fc.double({ min: 0.1, max: 0.4, noNaN: true }),
      threePhase: fc.boolean(),
    }),
  ),
  cyclic: kind(
    cyclic,
    fc.record({
      baseRatio: factor,
      up: count,
      down: count,
      mode: fc.constantFrom("triangular" as const, "triangular2" as const),
    }),
  ),
  warmupCosine: kind(
    warmupCosine,
    withFloor(
      fc.record({ warmup: fc.integer({ min: 0, max: 20 }), length: fc.integer({ min: 21, max: 60 }) }),
    ),
  ),
  wsd: kind(
    wsd,
    withFloor(
      fc.record({
        warmup: fc.integer({ min: 0, max: 10 }),
        decay: fc.integer({ min: 1, max: 10 }),
        length: fc.integer({ min: 20, max: 60 }),
        decayType: fc.constantFrom("linear" as const, "cosine" as const, "sqrt" as const),
      }),
    ),
  ),
  inverseSqrt: kind(inverseSqrt, fc.record({ warmup: count, timescale: count })),
  sequence: fc
    .tuple(
      fc.constantFrom("update" as const, "epoch" as const),
      fc.integer({ min: 2, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
      count,
      fc.integer({ min: 0, max: 10 }),
    )
    .map(([by, first, more, length, begin]) =>
      sequence({
        schedules: [
          linear({ startFactor: 0.1, length: first, by }),
          step({ stepSize: 3, gamma: 0.5, by }),
          cosine({ length, by, etaMinRatio: 0.1 }),
        ],
        milestones: [first, first + more],
        begin,
      }),
    ),
  custom: common.map((options) => custom((done, value) => value / (1 + done / 10), options)),
  reduceOnPlateau: withFloor(
    fc.record({
      factor: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
      patience: fc.integer({ min: 0, max: 2 }),
    }),
  ).map((options) => reduceOnPlateau(options)),
};
