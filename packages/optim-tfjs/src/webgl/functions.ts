/**
 * Core's meanings in GLSL, where the language or its drivers have others: min, max and sign lose NaN, comparisons take denormals for 0,
 * and `isnan` is always false on some. So NaN is known by its bits.
 */
export const functions = `
bvec4 isNone(vec4 a) {
  return greaterThan(floatBitsToUint(a) & 0x7fffffffu, uvec4(0x7f800000u));
}
vec4 negative(vec4 a) {
  return uintBitsToFloat(floatBitsToUint(a) ^ 0x80000000u);
}
vec4 size(vec4 a) {
  return uintBitsToFloat(floatBitsToUint(a) & 0x7fffffffu);
}
vec4 signOf(vec4 a) {
  uvec4 bits = floatBitsToUint(a);
  vec4 one = uintBitsToFloat((bits & 0x80000000u) | 0x3f800000u);
  return mix(mix(one, vec4(0.0), equal(bits & 0x7fffffffu, uvec4(0u))), a, isNone(a));
}
// Of two zeros the negative one is smaller, as Math.min has it.
vec4 smaller(vec4 a, vec4 b) {
  vec4 tied = uintBitsToFloat(floatBitsToUint(a) | floatBitsToUint(b));
  vec4 found = mix(mix(tied, a, lessThan(a, b)), b, lessThan(b, a));
  return mix(mix(found, b, isNone(b)), a, isNone(a));
}
vec4 larger(vec4 a, vec4 b) {
  vec4 tied = uintBitsToFloat(floatBitsToUint(a) & floatBitsToUint(b));
  vec4 found = mix(mix(tied, a, lessThan(b, a)), b, lessThan(a, b));
  return mix(mix(found, b, isNone(b)), a, isNone(a));
}
// Of a tensor and a value that is the same for all of it: ties keep the tensor's zero.
vec4 atMost(vec4 a, vec4 bound) {
  return mix(mix(a, bound, lessThan(bound, a)), a, isNone(a));
}
vec4 atLeast(vec4 a, vec4 bound) {
  return mix(mix(a, bound, lessThan(a, bound)), a, isNone(a));
}
bvec4 above(vec4 a, vec4 b) {
  return bvec4(mix(vec4(greaterThan(a, b)), vec4(0.0), bvec4(vec4(isNone(a)) + vec4(isNone(b)))));
}
bvec4 same(vec4 a, vec4 b) {
  return bvec4(mix(vec4(equal(a, b)), vec4(0.0), bvec4(vec4(isNone(a)) + vec4(isNone(b)))));
}
`;

/** A finite float32 as GLSL, exactly: by its bits where decimals could be rounded in another way. */
export function literal(value: number): string {
  const rounded = Math.fround(value);
  if (Number.isInteger(rounded) && Math.abs(rounded) < 2 ** 24 && !Object.is(rounded, -0))
    return `${rounded}.0`;
  const [bits] = new Uint32Array(Float32Array.of(rounded).buffer);
  return `uintBitsToFloat(${bits}u)`;
}
