import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  exponential,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  step,
} from "@mm/optim-schedule";

// PyTorch's own schedulers, recorded by scripts/record-schedulers.py.

interface Recorded {
  readonly type: string;
  readonly args: { readonly [name: string]: unknown };
  readonly measures?: readonly number[];
  readonly rows: readonly number[];
}

const { lr, cases } = JSON.parse(readFileSync(new URL("torch-schedulers.json", import.meta.url), "utf8")) as {
  readonly lr: number;
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
};

interface OneCycle {
  readonly totalSteps: number;
  readonly pctStart?: number;
  readonly maxLr: number;
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

test.each(cases)("$type $args", ({ type, args, measures, rows }) => {
  const schedule = (makers[type] as (options: object) => Schedule)(optionsOf(args));
  let state = schedule.start;
  for (const [count, expected] of rows.entries()) {
    const value = schedule.at(count, lr, state);
    // PyTorch multiplies from count to count, and each of these factors rounds: 40 counts × a few ulp (2.2e-16).
    expect(Math.abs(value - expected), `after ${count}`).toBeLessThanOrEqual(2e-14 * lr);
    if (measures?.[count] !== undefined) state = schedule.observe(state, measures[count]);
  }
});
