import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  cyclic,
  exponential,
  linear,
  multiStep,
  oneCycle,
  oneCycleMomentum,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  sequence,
  step,
  valueAt,
  warmupCosine,
  wsd,
} from "@mm/optim-schedule";

// PyTorch's own schedulers, recorded by scripts/record-schedulers.py.

interface Recorded {
  readonly type: string;
  readonly args: { readonly [name: string]: unknown };
  readonly of?: "momentum";
  readonly measures?: readonly number[];
  readonly rows: readonly number[];
}

const { lr, momentum, cases } = JSON.parse(
  readFileSync(new URL("torch-schedulers.json", import.meta.url), "utf8"),
) as {
  readonly lr: number;
  readonly momentum: number;
  readonly cases: readonly Recorded[];
};

const makers: Readonly<Record<string, (options: never) => Schedule>> = {
  ConstantLR: constant,
  LinearLR: linear,
  StepLR: step,
  MultiStepLR: multiStep,
  ExponentialLR: exponential,
  PolynomialLR: polynomial,
  CosineAnnealingLR: cosine,
  CosineAnnealingWarmRestarts: ({ T0, TMult, etaMin }: { T0: number; TMult: number; etaMin: number }) =>
    cosineRestarts({ periods: [T0, T0 * TMult, T0 * TMult ** 2], etaMin }),
  // Theirs has one count less than totalSteps from the first value to the last, and its peak at pctStart × totalSteps − 1.
  OneCycleLR: ({ totalSteps: total, pctStart = 0.3, maxLr: etaMax, ...options }: OneCycle) =>
    oneCycle({ ...options, etaMax, length: total - 1, pctStart: (pctStart * total - 1) / (total - 1) }),
  ReduceLROnPlateau: reduceOnPlateau,
  CyclicLR: ({
    baseLr,
    maxLr,
    stepSizeUp,
    stepSizeDown = stepSizeUp,
    mode = "triangular",
    ...rest
  }: Cyclic) =>
    cyclic({
      ...rest,
      baseRatio: baseLr / maxLr,
      up: stepSizeUp,
      down: stepSizeDown,
      mode: mode === "exp_range" ? "expRange" : mode,
    }),
  SequentialLR: ({ schedulers, milestones }: Sequential) =>
    sequence(
      schedulers.map((part) => scheduleOf(part)),
      milestones,
    ),
};

/** The momentum of a scheduler that has one. */
const momentumMakers: typeof makers = {
  OneCycleLR: (given: OneCycle) => {
    const { totalSteps: total, pctStart = 0.3, maxLr: _, maxMomentum = 0.95, ...options } = given;
    const ours = { length: total - 1, pctStart: (pctStart * total - 1) / (total - 1) };
    return oneCycleMomentum({ ...options, ...ours, maxMomentum });
  },
};

interface Cyclic {
  readonly baseLr: number;
  readonly maxLr: number;
  readonly stepSizeUp: number;
  readonly stepSizeDown?: number;
  readonly mode?: "triangular" | "triangular2" | "exp_range";
  readonly gamma?: number;
}

interface Sequential {
  readonly schedulers: readonly (readonly [type: string, args: Recorded["args"]])[];
  readonly milestones: readonly number[];
}

interface OneCycle {
  readonly totalSteps: number;
  readonly pctStart?: number;
  readonly maxLr: number;
  readonly maxMomentum?: number;
}

function scheduleOf([type, args]: readonly [string, Recorded["args"]], of = makers): Schedule {
  return (of[type] as (options: object) => Schedule)(optionsOf(args));
}

/** Options of PyTorch under our names. */
function optionsOf(args: Recorded["args"]): object {
  const ours: Readonly<Record<string, string>> = { total_iters: "length", T_max: "tMax", min_lr: "etaMin" };
  const camelCase = (name: string): string =>
    name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [ours[name] ?? camelCase(name), value]),
  );
}

test.each(cases.map((one) => ({ of: "lr", ...one })))(
  "$of of $type $args",
  ({ type, args, of, measures, rows }) => {
    const schedule = scheduleOf([type, args], of === "lr" ? makers : momentumMakers);
    const first = of === "lr" ? lr : momentum;
    let state = schedule.start;
    for (const [count, expected] of rows.entries()) {
      const value = schedule.at(count, first, state);
      // PyTorch multiplies from count to count, and each of these factors rounds: 40 counts × a few ulp (2.2e-16).
      expect(Math.abs(value - expected), `after ${count}`).toBeLessThanOrEqual(2e-14 * first);
      if (measures?.[count] !== undefined) state = schedule.observe(state, measures[count]);
    }
  },
);

// Two kinds that PyTorch makes of parts: the recorded sequences again, as one schedule.
test.each([
  [
    "a warm-up and a cosine are warmupCosine",
    warmupCosine({ warmup: 5, length: 17, startFactor: 0.2, etaMin: 0.02 }),
    "CosineAnnealingLR",
    // Theirs goes up again.
    17,
  ],
  [
    "a warm-up, a stable part and a straight line down are wsd",
    wsd({ warmup: 4, length: 17, decay: 6, startFactor: 0.25, etaMinRatio: 0.1 }),
    "ConstantLR",
    20,
  ],
])("%s", (_, schedule, second, last) => {
  const found = cases.filter(
    ({ type, args }) =>
      type === "SequentialLR" && (args as unknown as Sequential).schedulers[1]?.[0] === second,
  );
  expect(found).toHaveLength(1);
  for (const [updates, expected] of (found[0] as Recorded).rows.slice(0, last + 1).entries()) {
    const off = Math.abs(valueAt(schedule, { updates }, lr) - expected);
    expect(off, `after ${updates}`).toBeLessThanOrEqual(2e-14 * lr);
  }
});
