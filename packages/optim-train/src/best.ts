import {
  aNumber,
  checkSchema,
  integerFrom,
  isFinite32,
  oneOf,
  type Schema,
  type Test,
} from "@mm/optim-core/schema";
import type { Stateful } from "./stateful.ts";

export interface BestOptions {
  /** Whether less (`"min"`: a loss) or more (`"max"`: an accuracy) is better. */
  readonly mode: "min" | "max";
  /** How much better a measure has to be than the best so far, at least 0. Default 0: any better one. */
  readonly threshold?: number;
  /** After so many measures in a row that were no better it is `exhausted`. Default: never. */
  readonly patience?: number;
}

/** The best of a measure: for keeping the run that gave it, and for stopping early. It is part of a run's state. */
export interface Best extends Stateful {
  /** `undefined` before the first finite measure. */
  readonly value: number | undefined;
  /** Measures since the best one. */
  readonly since: number;
  /** Whether `patience` is over. */
  readonly exhausted: boolean;
  /** @returns whether it is the best so far. A measure that is not finite is never better. */
  observe(measure: number): boolean;
}

const aThreshold: Test = [
  (value: unknown) => isFinite32(value) && value >= 0,
  "a finite number of at least 0",
];

const stateSchema = (): Schema => ({
  fields: {
    value: [(value: unknown) => value === null || Number.isFinite(value), "a finite number or null"],
    since: integerFrom(0),
  },
});

/**
 * @example
 * ```ts
 * if (best.observe(accuracy)) run.saveAfter("best");
 * if (best.exhausted) run.stop("no better");
 * ```
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function createBest(options: BestOptions): Best {
  checkSchema("invalid-option", "createBest", options, {
    fields: { mode: oneOf("min", "max"), "threshold?": aThreshold, "patience?": integerFrom(1) },
  });
  const { mode, threshold = 0, patience = Infinity } = options;
  const sign = mode === "min" ? 1 : -1;
  let value: number | undefined;
  let since = 0;
  return {
    get value() {
      return value;
    },
    get since() {
      return since;
    },
    get exhausted() {
      return since >= patience;
    },
    observe(measure) {
      checkSchema("invalid-option", "best.observe", measure, aNumber);
      const better =
        Number.isFinite(measure) && (value === undefined || sign * (value - measure) > threshold);
      if (better) value = measure;
      since = better ? 0 : since + 1;
      return better;
    },
    stateDict: () => ({ value: value ?? null, since }),
    loadStateDict(state) {
      checkSchema("invalid-state", "best", state, stateSchema());
      const saved = state as { readonly value: number | null; readonly since: number };
      [value, since] = [saved.value ?? undefined, saved.since];
    },
  };
}
