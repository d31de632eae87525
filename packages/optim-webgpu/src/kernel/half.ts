import { wgsl } from "./wgsl.ts";

/** bfloat16 in words of two: the upper halves of float32, rounded to nearest, ties to even. A NaN keeps a bit that rounding could not carry away. */
export const bfloat16Functions = (): string => wgsl`
  fn fromBfloat16(words: vec2u) -> vec4f {
    return bitcast<vec4f>(vec4u(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
  }
  fn toBfloat16(x: vec4f) -> vec2u {
    let word = bitcast<vec4u>(x);
    let near = word + vec4u(0x7fffu) + ((word >> vec4u(16u)) & vec4u(1u));
    let half = select(near, word | vec4u(0x400000u), (word & vec4u(0x7fffffffu)) > vec4u(0x7f800000u)) >> vec4u(16u);
    return half.xz | (half.yw << vec2u(16u));
  }
`;

/**
 * float16 in words of two, converted by integers: what WGSL's own functions do with overflow, small numbers and ties is up to the device.
 * To the nearest, ties to even; 65,520 and above become infinity.
 */
export const halfFunctions = (): string => wgsl`
  fn toHalves(x: vec4f) -> vec4u {
    let bits = bitcast<vec4u>(x);
    let size = bits & vec4u(0x7fffffffu);
    let rebased = size - vec4u(0x38000000u);
    let normal = (rebased + vec4u(0xfffu) + ((rebased >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u);
    // The last bit of a float32 in [0.5, 1) counts 2^-24, as that of a small float16.
    let small = bitcast<vec4u>(bitcast<vec4f>(size) + vec4f(0.5)) - vec4u(0x3f000000u);
    var half = select(normal, small, size < vec4u(0x38800000u));
    half = select(half, vec4u(0x7c00u), size >= vec4u(0x477ff000u));
    half = select(half, vec4u(0x7e00u), size > vec4u(0x7f800000u));
    return half | ((bits >> vec4u(16u)) & vec4u(0x8000u));
  }
  fn fromHalves(words: vec2u) -> vec4f {
    let half = vec4u(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
    let size = half & vec4u(0x7fffu);
    let normal = (size << vec4u(13u)) + select(vec4u(0x38000000u), vec4u(0x70000000u), size >= vec4u(0x7c00u));
    let small = bitcast<vec4u>(vec4f(size) * 5.9604644775390625e-8);
    return bitcast<vec4f>(select(normal, small, size < vec4u(0x400u)) | ((half & vec4u(0x8000u)) << vec4u(16u)));
  }
`;
