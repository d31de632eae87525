import * as fc from "fast-check";
import {
  constant,
  cosine,
  cosineRestarts,
  custom,
  exponential,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  type ScheduleFactory,
  step,
} from "@mm/optim-schedule";

const count = fc.integer({ min: 1, max: 40 });
const factor = fc.double({ min: 0.05, max: 1, noNaN: true });
const floor = fc.oneof(
  fc.record({}),
  fc.record({ etaMin: fc.double({ min: 0, max: 0.05, noNaN: true }) }),
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
  custom: common.map((options) => custom((done, value) => value / (1 + done / 10), options)),
  reduceOnPlateau: withFloor(
    fc.record({
      factor: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
      patience: fc.integer({ min: 0, max: 2 }),
    }),
  ).map((options) => reduceOnPlateau(options)),
};
