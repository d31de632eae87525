/**
 * The numbers below `count` in an order that both numbers decide, the same on every machine: Fisher–Yates, with sfc32 (Doty-Humphrey, PractRand,
 * `RNG/sfc.cpp`) seeded by the halves of `seed` and by `epoch`.
 */
export function shuffled(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  const next = sfc32(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, epoch >>> 0);
  for (let end = count; end > 1; end -= 1) {
    const drawn = below(end, next);
    [order[end - 1], order[drawn]] = [order[drawn] as number, order[end - 1] as number];
  }
  return order;
}

/** A number below `end`, each as likely as any other: draws from the last stretch, which is short, are repeated. */
function below(end: number, next: () => number): number {
  const whole = 2 ** 32 - (2 ** 32 % end);
  let drawn = next();
  while (drawn >= whole) drawn = next();
  return drawn % end;
}

/** Numbers of 32 bits, after the 15 rounds that mix three seeds. */
export function sfc32(a: number, b: number, c: number): () => number {
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 15; round += 1) next();
  return next;
}
