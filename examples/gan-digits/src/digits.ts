import type { Random } from "./random.ts";

export const classes = 10;
/** Images are `side` × `side` pixels from 0 (paper) to 1 (ink), row by row. */
export const side = 14;
export const pixels: number = side * side;

export interface Digits {
  /** `count` images in a row. */
  readonly images: Float32Array;
  /** Which digit each shows. */
  readonly labels: Uint8Array;
  readonly count: number;
}

/** `size` images drawn with replacement. */
export function drawBatch(digits: Digits, size: number, random: Random): Digits {
  const images = new Float32Array(size * pixels);
  const labels = new Uint8Array(size);
  for (let i = 0; i < size; i++) {
    const which = random.integer(digits.count);
    images.set(digits.images.subarray(which * pixels, (which + 1) * pixels), i * pixels);
    labels[i] = digits.labels[which] ?? 0;
  }
  return { images, labels, count: size };
}
