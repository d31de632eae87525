import { OptimError } from "./errors.ts";
import { aBoolean, aCount, aNumber, checkOptions } from "./check-options.ts";
import type { CountStatus } from "./optim-wrapper.ts";
import type { WindowCounts } from "./state.ts";

/**
 * The accumulation window: a run of backward calls whose gradients make one step. Windows end at multiples of `accumulativeCounts` and at
 * `maxCounts`; each is divided by its own length, so the last one, and the first after a resume or a flush, may be short.
 */
export class AccumulationWindow {
  readonly size: number;
  #count = 0;
  #max: number | undefined;
  #start = 0;
  /** Sum of the scales of the backward calls in it. */
  #scaleSum = 0;
  #weighted = false;

  constructor(size: number) {
    this.size = size;
  }

  get count(): number {
    return this.#count;
  }

  get isEmpty(): boolean {
    return this.#count === this.#start;
  }

  /** @throws OptimError `count-exceeded` */
  admit(): void {
    if (this.#max === undefined || this.#count < this.#max) return;
    throw new OptimError("count-exceeded", "backward", {
      expected: `at most ${this.#max} (maxCounts) calls`,
      hint: "Call initializeCountStatus() for another run",
    });
  }

  /** The length of the window that the next backward belongs to. */
  length(): number {
    this.admit();
    const end = (Math.floor(this.#count / this.size) + 1) * this.size;
    return Math.min(end, this.#max ?? end) - this.#start;
  }

  isBoundary(count: number): boolean {
    return count % this.size === 0 || count === this.#max;
  }

  add(scale: number, weighted: boolean): void {
    this.#count += 1;
    this.#scaleSum += scale;
    this.#weighted ||= weighted;
  }

  /** What makes the sum of what is in the window a mean. A full window is one already, unless weights were given. */
  rescale(short: boolean): number {
    return short || this.#weighted ? 1 / this.#scaleSum : 1;
  }

  /** The next window begins here. */
  restart(): void {
    this.#start = this.#count;
    this.#scaleSum = 0;
    this.#weighted = false;
  }

  /** @throws OptimError `window-open`, `invalid-option`, `unknown-option` */
  initialize(status: CountStatus): void {
    const { initCounts = 0, maxCounts } = checkOptions("initializeCountStatus", status, {
      initCounts: aCount,
      maxCounts: [
        (value: number) => Number.isSafeInteger(value) && value >= (status.initCounts ?? 0),
        "a count, at least initCounts",
      ],
    });
    if (!this.isEmpty) {
      throw new OptimError("window-open", "initializeCountStatus", {
        expected: "no backward since the last step",
        hint: "Call flush() or zeroGrad() first",
      });
    }
    this.load({ innerCount: initCounts, ...(maxCounts !== undefined && { maxCounts }) }, false);
  }

  /** Without `pending` gradients the window is saved as empty. */
  save(pending: boolean): WindowCounts {
    return {
      innerCount: this.#count,
      ...(this.#max !== undefined && { maxCounts: this.#max }),
      windowStart: pending ? this.#start : this.#count,
      scaleSum: pending ? this.#scaleSum : 0,
      weighted: pending && this.#weighted,
    };
  }

  /** Takes what was saved; the window in progress only with its gradients. */
  load(saved: Partial<WindowCounts> & { readonly innerCount: number }, pending: boolean): void {
    this.#count = saved.innerCount;
    this.#max = saved.maxCounts;
    this.restart();
    if (!pending) return;
    this.#start = saved.windowStart ?? this.#start;
    this.#scaleSum = saved.scaleSum ?? 0;
    this.#weighted = saved.weighted === true;
  }
}

/** Checked and copied. @throws OptimError `invalid-state` */
export function checkCounts(counts: WindowCounts): WindowCounts {
  const upTo = (limit: number): boolean => limit <= counts.innerCount;
  return checkOptions(
    "counts",
    counts,
    {
      innerCount: aCount,
      maxCounts: aCount,
      windowStart: [
        (value: number) => Number.isSafeInteger(value) && value >= 0 && upTo(value),
        "a count up to innerCount",
      ],
      scaleSum: aNumber,
      weighted: aBoolean,
    },
    "invalid-state",
  );
}
