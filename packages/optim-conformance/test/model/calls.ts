import type { RestoreOptions } from "@mm/optim-core";
import * as fc from "fast-check";
import type { Closure, Gradients, ModelOptions, Precision } from "./wrapper-model.ts";

export const initials = { a: [1, -2], b: [0.5, 0, 3] } satisfies Gradients;
/** A group that comes later, with its own learning rate. */
export const late = { name: "late", initial: [2], lr: 0.25 } as const;
export const names = ["a", "b", late.name] as const;

/** Calls that are refused while the model is evaluated. */
export type Meanwhile = "updateParams" | "backward" | "step" | "skip" | "flush" | "stateDict" | "evaluating";

/** One call, as plain data: a sequence that fails can be read, made smaller, and written down as a test. */
export type Call =
  | {
      readonly call: "updateParams";
      readonly closure: Closure;
      readonly weight: number;
      readonly returnLoss: boolean;
      readonly inContext: boolean;
    }
  | {
      readonly call: "backward";
      readonly closure: Closure;
      readonly scale: number;
      readonly returnLoss: boolean;
      readonly inContext: boolean;
    }
  | { readonly call: "step"; readonly rescale: number }
  | {
      readonly call:
        "skip" | "flush" | "zeroGrad" | "commit" | "cancel" | "addParamGroup" | "lossFactor" | "readMetrics";
    }
  | { readonly call: "save"; readonly pending: boolean }
  | { readonly call: "evaluating"; readonly meanwhile: Meanwhile }
  | { readonly call: "loadStateDict" | "prepareLoad"; readonly restore: RestoreOptions }
  | { readonly call: "optimContext"; readonly run: "returns" | "throws" | "promises" }
  | { readonly call: "initializeCountStatus"; readonly initCounts?: number; readonly maxCounts?: number }
  | { readonly call: "move"; readonly precision: Precision | undefined }
  | { readonly call: "accumulativeCounts"; readonly counts: number }
  | { readonly call: "lr"; readonly lr: number }
  | { readonly call: "freeze" | "unfreeze"; readonly names: readonly string[] };

export interface Sequence {
  readonly options: ModelOptions;
  readonly calls: readonly Call[];
}

const gradientOf = (length: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: -4, max: 4 }), { minLength: length, maxLength: length });
const finite: fc.Arbitrary<Gradients> = fc
  .record({
    a: gradientOf(2),
    b: gradientOf(3),
    late: gradientOf(1),
    which: fc.constantFrom("a", "b", "both", "both"),
    withLate: fc.boolean(),
  })
  .map(({ which, withLate, ...all }) => ({
    ...(which !== "b" && { a: all.a }),
    ...(which !== "a" && { b: all.b }),
    ...(withLate && { late: all.late }),
  }));
const closure: fc.Arbitrary<Closure> = fc.oneof(
  { weight: 12, arbitrary: finite },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)
      .map((value): Closure => ({ a: [1, value] })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Closure>(
      "throws",
      "throws",
      "updateParams",
      "backward",
      "step",
      "skip",
      "flush",
      "zeroGrad",
      "optimContext",
      "initializeCountStatus",
      "addParamGroup",
      "freeze",
      "unfreeze",
      "prepareLoad",
      "swapIn",
      "dispose",
    ),
  },
);

const precision = fc.constantFrom<Precision>(
  "propagate",
  "skip",
  "zero",
  "throw",
  "static",
  "dynamic",
  "shared",
);
const flag = fc.boolean();
const rarely = fc.constantFrom(false, false, false, true);
const restore: fc.Arbitrary<RestoreOptions> = fc.oneof(
  fc.constant({}),
  fc
    .constantFrom("hyperparameters", "counts", "lossScaler", "pending", "frozen")
    .map((part) => ({ [part]: false })),
  fc.record({ hyperparameters: flag, counts: flag, lossScaler: flag, pending: flag, frozen: flag }),
);

const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      call: fc.constant("updateParams" as const),
      closure,
      weight: fc.constantFrom(1, 1, 1, 0, 2, 0.5),
      returnLoss: flag,
      inContext: rarely,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant("backward" as const),
      closure,
      scale: fc.constantFrom(1, 0.5, 2),
      returnLoss: flag,
      inContext: rarely,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ call: fc.constant("step" as const), rescale: fc.constantFrom(1, 0.25) }),
  },
  { weight: 4, arbitrary: fc.record({ call: fc.constantFrom("skip", "flush", "zeroGrad") }) },
  {
    weight: 2,
    arbitrary: fc.record({ call: fc.constantFrom("lossFactor", "readMetrics") }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      call: fc.constant("optimContext" as const),
      run: fc.constantFrom("returns", "throws", "promises"),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      call: fc.constant("evaluating" as const),
      meanwhile: fc.constantFrom<Meanwhile>(
        "updateParams",
        "backward",
        "step",
        "skip",
        "flush",
        "stateDict",
        "evaluating",
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      call: fc.constant("save" as const),
      pending: fc.constantFrom(true, true, true, false),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      call: fc.constantFrom("loadStateDict", "loadStateDict", "prepareLoad"),
      restore,
    }),
  },
  { weight: 3, arbitrary: fc.record({ call: fc.constantFrom("commit", "cancel", "addParamGroup") }) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        call: fc.constant("initializeCountStatus" as const),
        initCounts: fc.integer({ min: 0, max: 5 }),
        maxCounts: fc.integer({ min: 1, max: 12 }),
      },
      { requiredKeys: ["call"] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant("move" as const),
      precision: fc.option(precision, { nil: undefined, freq: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      call: fc.constant("accumulativeCounts" as const),
      counts: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ call: fc.constant("lr" as const), lr: fc.constantFrom(0.25, 0.5, 1) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      call: fc.constantFrom("freeze", "unfreeze"),
      names: fc.constantFrom<readonly string[]>(["a"], ["b"], ["a", "b"]),
    }),
  },
);

export const sequences: fc.Arbitrary<Sequence> = fc.record({
  options: fc.record({
    accumulativeCounts: fc.integer({ min: 1, max: 4 }),
    maxCounts: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined, freq: 3 }),
    precision,
    clip: fc.option(
      fc.constantFrom<NonNullable<ModelOptions["clip"]>>(
        { maxNorm: 1 },
        { maxNorm: 100 },
        { maxNorm: 1, errorIfNonfinite: true },
        { clipValue: 0.5 },
      ),
      { nil: undefined, freq: 2 },
    ),
    gradNorm: rarely,
  }),
  calls: fc.array(call, { minLength: 1, maxLength: 32, size: "max" }),
});
