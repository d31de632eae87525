import { OptimError } from "./errors.ts";
import { check, known } from "./options.ts";
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
      expected: `at most maxCounts = ${this.#max} backward calls`,
      received: this.#count + 1,
      hint: "Call initializeCountStatus() again for another run",
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

  /** What makes the sum of what is in the window a mean. */
  get normalizer(): number {
    return 1 / this.#scaleSum;
  }

  /** What a full window is multiplied by: nothing, unless weights were given. */
  get rescale(): number {
    return this.#weighted ? this.normalizer : 1;
  }

  /** The next window begins here. */
  restart(): void {
    this.#start = this.#count;
    this.#scaleSum = 0;
    this.#weighted = false;
  }

  /** @throws OptimError `window-open`, `invalid-option`, `unknown-option` */
  initialize(status: CountStatus): void {
    known(status, ["initCounts", "maxCounts"], "initializeCountStatus");
    const { initCounts = 0, maxCounts } = status;
    const isCount = (count: unknown): boolean => Number.isSafeInteger(count) && (count as number) >= 0;
    check(isCount(initCounts), "initCounts", "a count", initCounts);
    check(maxCounts === undefined || (isCount(maxCounts) && maxCounts >= initCounts), "maxCounts", "a count, at least initCounts", maxCounts);
    if (!this.isEmpty) {
      throw new OptimError("window-open", "initializeCountStatus", {
        expected: "no backward since the last step",
        received: this.#count - this.#start,
        hint: "Call flush() or zeroGrad() first",
      });
    }
    this.#count = initCounts;
    this.#max = maxCounts;
    this.restart();
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
  load({ innerCount, maxCounts, windowStart, scaleSum, weighted }: WindowCounts, pending: boolean): void {
    this.#count = innerCount;
    this.#max = maxCounts;
    this.restart();
    if (!pending) return;
    this.#start = windowStart;
    this.#scaleSum = scaleSum;
    this.#weighted = weighted;
  }
}

/** @throws OptimError `invalid-state` */
export function checkCounts(counts: WindowCounts): void {
  const { innerCount, maxCounts = innerCount, windowStart, scaleSum, weighted } = counts ?? {};
  const fine =
    [innerCount, maxCounts, windowStart].every((count) => Number.isSafeInteger(count) && count >= 0) &&
    windowStart <= innerCount &&
    Number.isFinite(scaleSum) &&
    typeof weighted === "boolean";
  if (!fine) throw new OptimError("invalid-state", "counts", { expected: "innerCount, windowStart, scaleSum and weighted", received: counts });
}
