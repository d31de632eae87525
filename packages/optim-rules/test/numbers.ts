/** float32 numbers in ±1 that look random and are the same every time (a linear congruential generator). */
export function numbers(count: number, seed: number): number[] {
  let state = seed * 7919 + 12345;
  return Array.from({ length: count }, () => {
    for (let round = 0; round < 3; round += 1) state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround((state / 2 ** 32) * 2 - 1);
  });
}
