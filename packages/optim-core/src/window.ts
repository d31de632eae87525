import { OptimError } from "./errors.ts";
import { aBoolean, aCount, aNumber, checkOptions, isCount } from "./check-options.ts";
import type { CountStatus } from "./optim-wrapper.ts";
import type { WindowCounts } from "./state.ts";

/**
 * The accumulation window: a run of backward calls whose gradients make one step. Windows end at multiples of `accumulativeCounts` and at
 * `maxCounts`; each is divided by its own length, so the last one, and the first after a resume or a flush, may be short.
 */
export interface AccumulationWindow {
  /** Backward calls so far. */
  count(): number;
  isEmpty(): boolean;
  /** @throws OptimError `count-exceeded` */
  admit(): void;
  /** The length of the window that the next backward belongs to. @throws OptimError `count-exceeded` */
  length(): number;
  isBoundary(count: number): boolean;
  add(scale: number, weighted: boolean): void;
  /** What makes the sum of what is in the window a mean. A full window is one already, unless weights were given. */
  rescale(short: boolean): number;
  /** The next window begins here. */
  restart(): void;
  /** @throws OptimError `window-open`, `invalid-option`, `unknown-option` */
  initialize(status: CountStatus): void;
  /** Without `pending` gradients the window is saved as empty. */
  save(pending: boolean): WindowCounts;
  /** Takes what was saved; the window in progress only with its gradients. */
  load(saved: WindowCounts, pending: boolean): void;
}

/** A window of `size` backward calls, empty. */
export function accumulationWindow(size: number): AccumulationWindow {
  let counts = empty(0);
  const window: AccumulationWindow = {
    count: () => counts.innerCount,
    isEmpty: () => counts.innerCount === counts.windowStart,
    admit() {
      if (counts.innerCount !== counts.maxCounts) return;
      throw new OptimError("count-exceeded", "backward", {
        expected: `at most ${counts.maxCounts} (maxCounts) calls`,
        hint: "Call initializeCountStatus() for another run",
      });
    },
    length() {
      window.admit();
      const end = (Math.floor(counts.innerCount / size) + 1) * size;
      return Math.min(end, counts.maxCounts ?? end) - counts.windowStart;
    },
    isBoundary: (count) => count % size === 0 || count === counts.maxCounts,
    add(scale, weighted) {
      counts = {
        ...counts,
        innerCount: counts.innerCount + 1,
        scaleSum: counts.scaleSum + scale,
        weighted: counts.weighted || weighted,
      };
    },
    rescale: (short) => (short || counts.weighted ? 1 / counts.scaleSum : 1),
    restart() {
      counts = empty(counts.innerCount, counts.maxCounts);
    },
    initialize(status) {
      const { initCounts = 0, maxCounts } = checkOptions("initializeCountStatus", status, {
        initCounts: aCount,
        maxCounts: [
          (value: number) => isCount(value) && value >= (status.initCounts ?? 0),
          "a count, at least initCounts",
        ],
      });
      if (!window.isEmpty()) {
        throw new OptimError("window-open", "initializeCountStatus", {
          expected: "no backward since the last step",
          hint: "Call flush() or zeroGrad() first",
        });
      }
      counts = empty(initCounts, maxCounts);
    },
    save: (pending) => (pending ? counts : empty(counts.innerCount, counts.maxCounts)),
    load(saved, pending) {
      counts = pending ? saved : empty(saved.innerCount, saved.maxCounts);
    },
  };
  return window;
}

const empty = (innerCount: number, maxCounts?: number): WindowCounts => ({
  innerCount,
  ...(maxCounts !== undefined && { maxCounts }),
  windowStart: innerCount,
  scaleSum: 0,
  weighted: false,
});

/** Checked and copied. @throws OptimError `invalid-state` */
export function checkCounts(counts: WindowCounts): WindowCounts {
  // NaN in place of what is missing, so that it is refused by name.
  const {
    innerCount = Number.NaN,
    windowStart = Number.NaN,
    scaleSum = Number.NaN,
    weighted = false,
    ...others
  } = Object(counts) as Partial<WindowCounts>;
  return checkOptions<WindowCounts>(
    "counts",
    { innerCount, windowStart, scaleSum, weighted, ...others },
    {
      innerCount: aCount,
      maxCounts: [(value: number) => isCount(value) && value >= innerCount, "a count, at least innerCount"],
      windowStart: [(value: number) => isCount(value) && value <= innerCount, "a count up to innerCount"],
      scaleSum: aNumber,
      weighted: aBoolean,
    },
    "invalid-state",
  );
}
