const positive = [0, 2 ** -149, 2 ** -126 - 2 ** -149, 2 ** -126, 1e-30, 0.1, 0.5, 1 - 2 ** -24, 1].concat([
  1 + 2 ** -23,
  3,
  16_777_215,
  1e20,
  2 ** 128 - 2 ** 104,
  Infinity,
]);

/** NaN, and with both signs: zero, the smallest and largest denormals and normals, ordinary numbers and infinity. */
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

/** Float32 numbers in [−1, 1), the same for a seed in every run. */
export function numbers(count: number, seed: number): number[] {
  return [...ordinaryArray(randomNumbers(seed), count)];
}

/** A third edges, the rest spread over magnitudes from 1e-8 to 1e8. */
export function anyNumber(random: () => number): number {
  if (random() < 1 / 3) return edges[Math.floor(random() * edges.length)] as number;
  return Math.fround((random() < 0.5 ? -1 : 1) * 10 ** (16 * random() - 8));
}

export function anyArray(random: () => number, length: number): Float32Array {
  return Float32Array.from({ length }, () => anyNumber(random));
}

/** Float32s by their bits, which tell −0 from 0 and one NaN from another. */
export function bitsOf({ buffer, byteOffset, length }: Float32Array): readonly number[] {
  return [...new Uint32Array(buffer, byteOffset, length)];
}

/** The largest difference of elements; NaN where only one of two is NaN, or the lengths differ. */
export function distance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.NaN;
  let worst = 0;
  for (let index = 0; index < expected.length; index += 1) {
    const [a, b] = [found[index]!, expected[index]!];
    if (!Object.is(a, b)) worst = Math.max(worst, Math.abs(a - b));
  }
  return worst;
}
