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
