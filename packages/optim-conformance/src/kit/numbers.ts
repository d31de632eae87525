/**
 * Repeatable numbers in [−1, 1), for gradients that have no meaning: a linear congruential generator (Numerical Recipes, 1992, section
 * 7.1).
 */
export function repeatable(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** `length` of them, as float32. */
export function noise(next: () => number, length: number, size = 1): Float32Array {
  return Float32Array.from({ length }, () => size * next());
}
