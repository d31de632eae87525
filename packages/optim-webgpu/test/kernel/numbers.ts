const smallestNormal = 2 ** -126;

/** Devices may take a subnormal number for 0 of its sign, and give that for one. */
export const flushed = (x: number): number =>
  Math.abs(x) >= smallestNormal || Number.isNaN(x) ? x : x < 0 || Object.is(x, -0) ? -0 : 0;

/**
 * Whether a device's result agrees with the reference: NaN is NaN, the sign of a zero counts, and what is no larger than the smallest
 * normal number may have become 0.
 *
 * @param ulps what WGSL lets it be off by: 0 for + − ×, 3 for ÷ and √ (specification, "Accuracy of floating point expressions"). The
 * software adapters have 0 for all of them
 */
export function agrees(found: number, expected: number, ulps: number): boolean {
  if (Object.is(found, expected)) return true;
  if (Math.abs(expected) <= smallestNormal && expected !== 0) return Math.abs(found) <= smallestNormal;
  return Math.abs(found - expected) <= ulps * 2 ** -23 * Math.abs(expected);
}

/** The largest relative difference of elements, NaN where only one of two is NaN; of differences below `absolute` 0. */
export function relativeDifference(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  absolute = 0,
): number {
  if (found.length !== expected.length) return NaN;
  let worst = 0;
  for (let index = 0; index < expected.length; index += 1) {
    const [a, b] = [found[index]!, expected[index]!];
    const difference = Math.abs(a - b);
    if (Object.is(a, b) || difference <= absolute) continue;
    const relative = difference / Math.abs(b);
    if (!(relative <= worst)) worst = relative;
  }
  return worst;
}
