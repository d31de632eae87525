import { wgsl } from "./wgsl.ts";

/**
 * Sums of squares of float32 that neither overflow nor vanish. A partial is the largest |x| by its bits (so that NaN and infinity are the
 * largest), a scale and a sum: Σ|x|ᵖ = sum × scaleᵖ. The scale is 1; where that sum would leave the range of float32, it is a power of
 * two near the largest element, and elements are divided by it before they are raised. For a p other than 1 and 2 it is the largest element.
 * Where the sum is 0, the scale says nothing.
 *
 * Subnormal elements count as 0: devices may read them so.
 */
export const reductionFunctions = (): string => wgsl`
  fn isFinite(size: u32) -> bool { return size < 0x7f800000u; }
  fn isNormal(size: u32) -> bool { return size >= 0x00800000u && isFinite(size); }
  fn isUsable(sum: f32) -> bool { return sum > ${2 ** -80}f && isFinite(bitcast<u32>(sum)); }

  fn largestOf(x: vec4u) -> u32 { return max(max(x.x, x.y), max(x.z, x.w)); }
  fn sumOf(x: vec4f) -> f32 { return (x.x + x.y) + (x.z + x.w); }

  // A power of two near a size, with a reciprocal that is no subnormal number.
  fn scaleOf(size: u32) -> f32 { return bitcast<f32>(min(size & 0x7f800000u, 0x7e800000u)); }
  fn inverseOf(scale: f32) -> f32 { return bitcast<f32>(0x7f000000u - bitcast<u32>(scale)); }

  fn partialOf(size: u32, scale: f32, sum: f32) -> vec4u {
    return vec4u(size, bitcast<u32>(scale), bitcast<u32>(select(0f, sum, isNormal(size))), 0u);
  }

  // The sum of squares of a partial, in units of a scale.
  fn squaresOf(part: vec4u, inverse: f32) -> f32 {
    let sum = bitcast<f32>(part.z);
    if (sum == 0f) { return 0f; }
    let ratio = bitcast<f32>(part.y) * inverse;
    return sum * ratio * ratio;
  }
`;

/**
 * Sums Σa and Σab, as `reductionFunctions` has those of squares. A partial is the largest |a| or |b| by its bits, an exponent (i32) and a sum: what
 * is summed is sum × 2^exponent. The exponent is 0 but where sums or products would leave the range of float32. Where not all is finite, the sum
 * is what a float32 sum makes of that, and never finite.
 */
export const sumFunctions = (): string => wgsl`
  fn exponentOf(size: u32) -> i32 { return i32(size >> 23u) - 127; }

  // Whether products of numbers of these sizes, or sums of thousands of them, are beyond float32 or vanish.
  fn leavesRange(a: u32, b: u32) -> bool {
    let exponent = exponentOf(a) + exponentOf(b);
    return isNormal(a) && isNormal(b) && (exponent > 100 || exponent < -80);
  }

  // x × 2^exponent
  fn shifted(x: f32, exponent: i32) -> f32 {
    let half = clamp(exponent / 2, -126, 126);
    let rest = clamp(exponent - half, -126, 126);
    return x * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(rest + 127) << 23u);
  }

  fn sumPartial(size: u32, exponent: i32, sum: f32) -> vec4u {
    let bits = select(bitcast<u32>(sum), 0x7fc00000u, !isFinite(size) && isFinite(bitcast<u32>(abs(sum))));
    return vec4u(size, bitcast<u32>(exponent), bits, 0u);
  }

  // The exponent of a partial's sum; of 0, one below all.
  fn topOf(part: vec4u) -> i32 {
    let size = part.z & 0x7fffffffu;
    return select(bitcast<i32>(part.y) + exponentOf(size), -4096, size < 0x00800000u);
  }

  // The share of a partial in a sum, in units of 2^exponent. Where not all is finite, the finite part counts no more.
  fn termIn(part: vec4u, exponent: i32, isFiniteSum: bool) -> f32 {
    let sum = bitcast<f32>(part.z);
    if (!isFiniteSum) { return select(sum, 0f, isFinite(part.x)); }
    return select(shifted(sum, bitcast<i32>(part.y) - exponent), 0f, topOf(part) == -4096);
  }
`;

/** The findings of the threads of a workgroup on a tile, each a partial of the array `found` from `begin` on, as one partial. */
export const foundFunctions = (sums: boolean): string => wgsl`
  fn sizeIn(begin: u32) -> u32 {
    var size = 0u;
    for (var i = 0u; i < 64u; i++) { size = max(size, found[begin + i].x); }
    return size;
  }

  fn squaresIn(begin: u32) -> vec4u {
    let size = sizeIn(begin);
    let scale = scaleOf(size);
    var sum = 0f;
    for (var i = 0u; i < 64u; i++) { sum += squaresOf(found[begin + i], inverseOf(scale)); }
    return partialOf(size, scale, sum);
  }

  ${sums ? sumIn() : ""}
`;

const sumIn = (): string => wgsl`
  fn sumIn(begin: u32) -> vec4u {
    let size = sizeIn(begin);
    var top = -4096;
    for (var i = 0u; i < 64u; i++) { top = max(top, topOf(found[begin + i])); }
    // Sums of so many are in the range of float32.
    let exponent = select(0, top, top > 100 || (top < -80 && top > -4096));
    var sum = 0f;
    for (var i = 0u; i < 64u; i++) { sum += termIn(found[begin + i], exponent, isFinite(size)); }
    return sumPartial(size, exponent, sum);
  }
`;
