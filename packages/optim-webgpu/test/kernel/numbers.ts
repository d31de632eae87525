const positive = [0, 2 ** -149, 2 ** -126 - 2 ** -149, 2 ** -126, 1e-30, 0.1, 0.5, 1 - 2 ** -24, 1].concat([
  1 + 2 ** -23,
  3,
  16_777_215,
  1e20,
  2 ** 128 - 2 ** 104,
  Infinity,
]);

/** NaN, and with both signs: zero, the smallest and largest subnormals and normals, ordinary numbers and infinity. */
export const edges: readonly number[] = [NaN, ...positive, ...positive.map((x) => -x)].map(Math.fround);

/** mulberry32: the same numbers on every machine, in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** In [−1, 1). */
export function ordinaryArray(random: () => number, length: number): Float32Array {
  return Float32Array.from({ length }, () => 2 * random() - 1);
}

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
