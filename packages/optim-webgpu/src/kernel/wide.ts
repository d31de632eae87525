import { wgsl } from "./wgsl.ts";

/**
 * Numbers beyond the range of float32, as fraction × 2^exponent. A factor is rescale ÷ loss scale × clip coefficient, and every one of
 * these, and the norm, may be near either end of float32 while their product is an ordinary number.
 */

/** `fraction` is 0 or of a size in [1, 2); or it is not finite, and stands for itself. `exponent` fits an i32. */
export interface Wide {
  readonly fraction: number;
  readonly exponent: number;
}

/** A float64 as a wide number, exactly. */
export function wide(value: number): Wide {
  if (value === 0 || !Number.isFinite(value)) return { fraction: value, exponent: 0 };
  // The logarithm is rounded, and may be off by one beside a power of two. Two factors, since one may leave the range of float64.
  const guess = Math.floor(Math.log2(Math.abs(value)));
  const half = Math.trunc(guess / 2);
  const fraction = value * 2 ** -half * 2 ** (half - guess);
  const size = Math.abs(fraction);
  if (size >= 2) return { fraction: fraction / 2, exponent: guess + 1 };
  return size < 1 ? { fraction: fraction * 2, exponent: guess - 1 } : { fraction, exponent: guess };
}

/**
 * Wide numbers in a shader, for which `sizeOf`, `infinity`, `nan` and `powerOfTwo` of `pairs.ts` have to be there. They are taken apart and put
 * together as bits, so that subnormal numbers count also where a device takes them for 0.
 */
export const wideFunctions = (): string => wgsl`
  struct Wide { fraction: f32, exponent: i32 }

  // A finite float32.
  fn wideOf(word: u32) -> Wide {
    let size = word & 0x7fffffffu;
    if (size == 0u) { return Wide(0f, 0); }
    // A subnormal number is shifted until it begins with a 1.
    let shift = select(countLeadingZeros(size) - 8u, 0u, size >= 0x00800000u);
    let exponent = i32(max(size >> 23u, 1u)) - 127 - i32(shift);
    let digits = (size << shift) & 0x007fffffu;
    return Wide(bitcast<f32>((word & 0x80000000u) | 0x3f800000u | digits), exponent);
  }

  fn wideNumber(x: f32) -> Wide { return wideOf(bitcast<u32>(x)); }

  fn scaled(a: Wide, exponent: i32) -> Wide { return Wide(a.fraction, a.exponent + exponent); }

  fn wideProduct(a: Wide, b: Wide) -> Wide {
    return scaled(wideNumber(a.fraction * b.fraction), a.exponent + b.exponent);
  }

  // b is not 0.
  fn wideQuotient(a: Wide, b: Wide) -> Wide {
    return scaled(wideNumber(a.fraction / b.fraction), a.exponent - b.exponent);
  }

  // Of numbers that are not negative.
  fn isWideAbove(a: Wide, b: Wide) -> bool {
    if (a.fraction == 0f || b.fraction == 0f) { return a.fraction > b.fraction; }
    return a.exponent > b.exponent || (a.exponent == b.exponent && a.fraction > b.fraction);
  }

  // As a float32: below 2^-126 it is 0, above the largest it is infinite.
  fn narrow(a: Wide) -> f32 {
    if (a.exponent > 127 && a.fraction != 0f) { return infinity(); }
    return select(a.fraction * powerOfTwo(a.exponent), 0f, a.exponent < -126);
  }
`;
