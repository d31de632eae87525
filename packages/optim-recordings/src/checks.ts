import { isOptimError } from "@mm/optim-core";
import { decode, type GoldenData } from "./format.ts";

/** One comparison of what came with what was recorded. */
export interface Check {
  /** `"steps[3].after.w1"` */
  readonly field: string;
  /** The difference, in words; absent when it passed. */
  readonly failure?: string;
  /** The largest |a − b| ÷ max(1, |b|) among the numbers that passed. */
  readonly error: number;
  /** The largest |a − b| ÷ what is allowed. */
  readonly share: number;
}

/** How far a number may be from `expected`, which is finite, in a tensor whose largest finite magnitude is `largest`. */
type Allowed = (expected: number, largest: number) => number;

/** Of parameters, norms and losses. */
const ofParameters: Allowed = (expected) => 5e-6 + 1e-5 * Math.abs(expected);
/** Of optimizer state, whose magnitude may be anything: relative to itself and to the largest of its tensor. */
const ofSlots: Allowed = (expected, largest) => 1e-5 * Math.abs(expected) + 1e-6 * largest;

const ofModernSlots: Allowed = (expected, largest) => 1e-5 * Math.abs(expected) + 4e-6 * largest;

/**
 * Of scheduled hyperparameters. MMEngine multiplies from count to count, we compute every count from the start: they differ by
 * rounding, a few ulp a count, and where a cosine is near 0, by the rounding of 1 + cos.
 */
const ofHyperparameters: Allowed = (expected, largest) => 1e-12 * Math.abs(expected) + 1e-15 * largest;

/** Collects comparisons. */
export class Checks {
  readonly list: Check[] = [];

  /** `slack`: how much further off it may be, where the recording itself strays from float64. */
  parameter(
    field: string,
    received: ArrayLike<number> | undefined,
    expected: GoldenData,
    slack: number = 0,
  ): void {
    this.#numbers(field, received, decode(expected), (b, largest) => ofParameters(b, largest) + slack);
  }

  /** As {@link slot}, of recordings whose own slots stray from float64 by up to 1.5e-6 of the largest. */
  modernSlot(field: string, received: ArrayLike<number> | undefined, expected: readonly number[]): void {
    this.#numbers(field, received, Float32Array.from(expected), ofModernSlots);
  }

  slot(field: string, received: ArrayLike<number> | undefined, expected: GoldenData): void {
    this.#numbers(field, received, decode(expected), ofSlots);
  }

  /** float64. */
  hyperparameter(
    field: string,
    received: readonly number[] | undefined,
    expected: readonly number[] | undefined,
  ): void {
    if (expected === undefined) this.exact(field, received, expected);
    else this.#numbers(field, received, expected, ofHyperparameters);
  }

  /** Plain data, compared with Object.is throughout. */
  exact(field: string, received: unknown, expected: unknown): void {
    this.note(
      field,
      same(received, expected) ? undefined : `expected ${text(expected)}, got ${text(received)}`,
    );
  }

  /** A float32, to the bit. */
  exact32(field: string, received: number | undefined, expected: number): void {
    this.exact(field, received === undefined ? received : Math.fround(received), Math.fround(expected));
  }

  /** A recorded error means one of our coded errors. */
  refusal(field: string, caught: unknown, recorded: string): void {
    if (isOptimError(caught)) return this.note(field);
    const got = caught === undefined ? "none" : describeError(caught);
    this.note(field, `expected a coded error where PyTorch has "${recorded}", got ${got}`);
  }

  /** The calls that should have gone through. */
  unexpected(field: string, caught: unknown): void {
    this.note(field, `expected no error, got ${describeError(caught)}`);
  }

  note(field: string, failure?: string): void {
    this.list.push({ field, error: 0, share: 0, ...(failure !== undefined && { failure }) });
  }

  #numbers(
    field: string,
    received: ArrayLike<number> | undefined,
    expected: Float32Array | readonly number[],
    allowed: Allowed,
  ): void {
    if (received?.length !== expected.length) {
      return this.note(field, `expected ${expected.length} numbers, got ${String(received?.length)}`);
    }
    const largest = Math.max(0, ...expected.map(Math.abs).filter(Number.isFinite));
    let [error, share] = [0, 0];
    let failure: string | undefined;
    for (const [index, b] of expected.entries()) {
      const a = received[index] as number;
      if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
      const difference = Math.abs(a - b);
      const limit = Number.isFinite(b) ? allowed(b, largest) : 0;
      if (!(difference <= limit)) failure ??= `[${index}] expected ${b}, got ${a}, off by ${difference}`;
      else {
        error = Math.max(error, difference / Math.max(1, Math.abs(b)));
        share = Math.max(share, difference / limit);
      }
    }
    this.list.push({ field, error, share, ...(failure !== undefined && { failure }) });
  }
}

export function describeError(caught: unknown): string {
  return caught instanceof Error ? `${caught.name}: ${caught.message}` : text(caught);
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b) || (a === 0 && b === 0)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  return (
    left.length === right.size && left.every(([key, value]) => right.has(key) && same(value, right.get(key)))
  );
}

function text(value: unknown): string {
  if (value === undefined) return "nothing";
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}
