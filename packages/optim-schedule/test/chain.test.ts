import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  exponential,
  linear,
  multiStep,
  polynomial,
  type Schedule,
  step,
} from "@mm/optim-schedule";

// The closed forms beside chains: PyTorch and MMEngine compute the value of a count from that of the count before.

/** Made by a schedule and its chain, from the same options. */
interface Pair {
  readonly schedule: Schedule;
  /** The value after `count` counts from that after one less. `value` is that before the schedule. */
  readonly next: (before: number, count: number, value: number) => number;
  /** How much a chain may amplify rounding, where it does. */
  readonly conditioning?: number;
}

const size = fc.integer({ min: 1, max: 60 });
const factor = fc.double({ min: 0.05, max: 1, noNaN: true });
const ratio = fc.double({ min: 0, max: 0.5, noNaN: true });

const pairs: Readonly<Record<string, fc.Arbitrary<Pair>>> = {
  constant: fc.record({ factor, length: size }).map((options) => ({
    schedule: constant(options),
    next: (before, count) => (count === options.length ? before / options.factor : before),
  })),
  linear: fc.record({ startFactor: factor, endFactor: factor, length: size }).map((options) => ({
    schedule: linear(options),
    next(before, count) {
      const { startFactor, endFactor, length } = options;
      const slope = endFactor - startFactor;
      return count > length ? before : before * (1 + slope / (length * startFactor + (count - 1) * slope));
    },
  })),
  step: fc.record({ stepSize: size, gamma: factor }).map((options) => ({
    schedule: step(options),
    next: (before, count) => (count % options.stepSize === 0 ? before * options.gamma : before),
  })),
  multiStep: fc.record({ milestones: fc.array(size, { maxLength: 6 }), gamma: factor }).map((options) => ({
    schedule: multiStep(options),
    next: (before, count) =>
      options.milestones.reduce((value, at) => (at === count ? value * options.gamma : value), before),
  })),
  exponential: fc.record({ gamma: factor }).map(({ gamma }) => ({
    schedule: exponential({ gamma }),
    next: (before) => before * gamma,
  })),
  polynomial: fc.record({ length: size, power: factor, etaMinRatio: ratio }).map((options) => ({
    schedule: polynomial(options),
    next(before, count, value) {
      const floor = value * options.etaMinRatio;
      const left = options.length - count + 1;
      return count > options.length ? before : (before - floor) * (1 - 1 / left) ** options.power + floor;
    },
  })),
  cosine: fc.record({ tMax: size, etaMinRatio: ratio }).map((options) => ({
    schedule: cosine(options),
    next: (before, count, value) =>
      alongCosine(before, count, options.tMax, value, value * options.etaMinRatio),
    conditioning: options.tMax ** 2,
  })),
  cosineRestarts: fc
    .record({ first: size, second: size, etaMinRatio: ratio })
    .map(({ first, second, etaMinRatio }) => ({
      schedule: cosineRestarts({ periods: [first, second], restartWeights: [1, 0.5], etaMinRatio }),
      next(before, count, value) {
        const floor = value * etaMinRatio;
        if (count < first) return alongCosine(before, count, first, value, floor);
        if (count === first) return value / 2;
        return count > first + second ? before : alongCosine(before, count - first, second, value / 2, floor);
      },
    })),
};

function alongCosine(before: number, count: number, tMax: number, value: number, floor: number): number {
  const cos = (at: number): number => Math.cos((Math.PI * at) / tMax);
  // At the floor nothing is left to multiply.
  if ((count - 1 - tMax) % (2 * tMax) === 0) return before + ((value - floor) * (1 - cos(1))) / 2;
  return ((1 + cos(count)) / (1 + cos(count - 1))) * (before - floor) + floor;
}

test.each(Object.entries(pairs))("%s is its chain", (_, pair) => {
  const value = fc.double({ min: 1e-4, max: 1, noNaN: true });
  fc.assert(
    fc.property(pair, value, ({ schedule, next, conditioning = 0 }, value) => {
      let chained = schedule.at(0, value);
      for (let count = 1; count <= 150; count += 1) {
        chained = next(chained, count, value);
        // Each link rounds about ten times, by half an ulp (1.1e-16) of at most the value, and errors add up. A cosine that leaves
        // its floor starts from a difference of order 1 ÷ tMax² that is known to 1e-16, and carries that error up to the top.
        const allowed = 1e-15 * (count + conditioning) * value;
        expect(Math.abs(schedule.at(count, value) - chained)).toBeLessThanOrEqual(allowed);
      }
    }),
  );
});
