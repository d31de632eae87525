import { refuse } from "./errors.ts";
import type { WindowCounts } from "./state.ts";

/*
 * The accumulation window: a run of backward calls whose gradients make one step. Windows end at multiples of `size`
 * (`accumulativeCounts`) and at `maxCounts`; each is divided by its own length, so the last one, and the first after a resume or a
 * flush, may be short. Counts are values: each change makes new ones.
 */

/** The next window begins here. */
export function restarted<C extends Pick<WindowCounts, "innerCount">>(
  counts: C,
): C & Omit<WindowCounts, "maxCounts"> {
  return { ...counts, windowStart: counts.innerCount, scaleSum: 0, weighted: false };
}

/** After one more backward. */
export function extended(counts: WindowCounts, scale: number, weighted: boolean): WindowCounts {
  return {
    ...counts,
    innerCount: counts.innerCount + 1,
    scaleSum: counts.scaleSum + scale,
    weighted: counts.weighted || weighted,
  };
}

/** The length of the window that the next backward belongs to. @throws OptimError `count-exceeded` */
export function windowLength({ innerCount, maxCounts, windowStart }: WindowCounts, size: number): number {
  if (innerCount === maxCounts) {
    refuse("count-exceeded", "backward", `at most ${maxCounts} calls (maxCounts)`, innerCount + 1);
  }
  const end = (Math.floor(innerCount / size) + 1) * size;
  return Math.min(end, maxCounts ?? end) - windowStart;
}

/** Whether a window ends where `count` backward calls were made. */
export function isBoundary(count: number, { maxCounts }: WindowCounts, size: number): boolean {
  return count % size === 0 || count === maxCounts;
}

/** What makes the sum of what is in the window a mean. A full window is one already, unless weights were given. */
export function rescaleOf({ scaleSum, weighted }: WindowCounts, short: boolean): number {
  return short || weighted ? 1 / scaleSum : 1;
}
