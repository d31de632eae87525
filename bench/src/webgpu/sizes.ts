import type { Effort } from "../measure.ts";

export interface Size {
  readonly label: string;
  readonly tensors: number;
  /** Elements of each, a multiple of 4. */
  readonly length: number;
}

const sizes = [
  { label: "4 × 1M", tensors: 4, length: 2 ** 20 },
  { label: "100 × 10k", tensors: 100, length: 10_000 },
  { label: "1,000 × 100", tensors: 1000, length: 100 },
] as const;

export const sizesFor = ({ smoke }: Effort): readonly Size[] =>
  smoke ? sizes.map((size) => ({ ...size, tensors: 3, length: 12 })) : sizes;
