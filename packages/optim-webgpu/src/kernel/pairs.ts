import { pair } from "./layout.ts";
import { literal } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/** The value as a pair literal. */
const pairLiteral = (value: number): string => {
  const [high, low] = pair(value);
  return `vec2f(${literal(high)}, ${literal(low)})`;
};

/**
 * Scalars on the device: a number is the sum of two float32, 48 bits (Dekker, "A floating-point technique for extending the available
 * precision", 1971). Computations of rules from the step count cancel: in float32 RAdam would begin to rectify at another step.
 *
 * Compilers of shaders may reorder float arithmetic or fuse it, which would undo all of this: `o` hides a result from them behind a word
 * that is zero, and nobody but the host knows.
 */
export const pairFunctions = (): string => wgsl`
  var<private> zero: u32;
  fn o(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ zero); }
  fn number(x: f32) -> vec2f { return vec2f(x, 0f); }
  fn sizeOf(x: f32) -> u32 { return bitcast<u32>(x) & 0x7fffffffu; }
  fn isNan(x: vec2f) -> bool { return sizeOf(x.x) > 0x7f800000u; }
  fn infinity() -> f32 { return bitcast<f32>(0x7f800000u ^ zero); }
  fn nan() -> f32 { return bitcast<f32>(0x7fc00000u ^ zero); }
  // The nearest that a float32 has, and no subnormal one.
  fn powerOfTwo(exponent: i32) -> f32 { return bitcast<f32>(u32(clamp(exponent, -126, 127) + 127) << 23u); }

  // The sum of two floats, exactly.
  fn exactSum(a: f32, b: f32) -> vec2f {
    let sum = o(a + b);
    let part = o(sum - a);
    return vec2f(sum, o(o(a - o(sum - part)) + o(b - part)));
  }

  // Their product, exactly: of halves of 12 bits each.
  fn exactProduct(a: f32, b: f32) -> vec2f {
    let product = o(a * b);
    let a1 = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
    let b1 = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
    let a2 = o(a - a1);
    let b2 = o(b - b1);
    return vec2f(product, o(o(o(o(o(a1 * b1) - product) + o(a1 * b2)) + o(a2 * b1)) + o(a2 * b2)));
  }

  // As a pair whose second does not overlap the first, and is 0 where that is not finite.
  fn tidy(high: f32, low: f32) -> vec2f { return select(number(high), exactSum(high, low), sizeOf(high) < 0x7f800000u); }

  fn add(a: vec2f, b: vec2f) -> vec2f {
    let high = exactSum(a.x, b.x);
    let low = exactSum(a.y, b.y);
    let sum = tidy(high.x, o(high.y + low.x));
    return tidy(sum.x, o(sum.y + low.y));
  }

  fn mul(a: vec2f, b: vec2f) -> vec2f {
    let high = exactProduct(a.x, b.x);
    return tidy(high.x, o(high.y + o(o(a.x * b.y) + o(a.y * b.x))));
  }

  fn div(a: vec2f, b: vec2f) -> vec2f {
    var quotient = number(o(a.x / b.x));
    if (sizeOf(quotient.x) >= 0x7f800000u || sizeOf(b.x) >= 0x7f800000u) { return quotient; }
    for (var i = 0; i < 2; i++) {
      quotient = add(quotient, number(o(add(a, -mul(quotient, b)).x / b.x)));
    }
    return quotient;
  }

  fn root(a: vec2f) -> vec2f {
    if (sizeOf(a.x) == 0u || isNan(a)) { return a; }
    if (a.x < 0f) { return number(nan()); }
    if (sizeOf(a.x) == 0x7f800000u) { return a; }
    var value = number(o(sqrt(a.x)));
    for (var i = 0; i < 2; i++) {
      value = add(value, number(o(add(a, -mul(value, value)).x / (2f * value.x))));
    }
    return value;
  }

  // e^x - 1
  fn expm1(x: vec2f) -> vec2f {
    if (isNan(x)) { return x; }
    if (x.x < -87f) { return number(-1f); }
    if (x.x > 88f) { return number(infinity()); }
    let k = round(x.x * ${literal(Math.LOG2E)});
    let r = add(x, mul(number(-k), ${pairLiteral(Math.LN2)})) * 0.0625f;
    let rest = r.x * r.x * r.x * r.x * (${literal(1 / 24)} + r.x * (${literal(1 / 120)} + r.x * ${literal(1 / 720)}));
    var e = add(r, add(mul(mul(r, r), add(number(0.5f), mul(r, ${pairLiteral(1 / 6)}))), number(rest)));
    for (var i = 0; i < 4; i++) { e = mul(e, add(e, number(2f))); }
    let power = bitcast<f32>(u32(i32(k) + 127) << 23u);
    return add(e * power, exactSum(power, -1f));
  }

  // A first logarithm, of float32.
  fn logGuess(x: f32) -> f32 {
    if (x < 0f) { return nan(); }
    if (x == 0f) { return -infinity(); }
    return select(log(x), x, sizeOf(x) >= 0x7f800000u);
  }

  // base^exponent, where |base|^exponent is known.
  fn power(base: vec2f, exponent: vec2f, size: vec2f) -> vec2f {
    if (exponent.x == 0f) { return number(1f); }
    if (base.x >= 0f || isNan(base)) { return size; }
    if (exponent.x != round(exponent.x)) { return number(nan()); }
    return select(size, -size, exponent.x - 2f * floor(exponent.x * 0.5f) == 1f);
  }

  fn isAbove(a: vec2f, b: vec2f) -> bool { return a.x > b.x || (a.x == b.x && a.y > b.y); }
  fn signOf(x: vec2f) -> vec2f { return select(select(number(select(1f, -1f, x.x < 0f)), x, isNan(x)), number(0f), x.x == 0f); }
`;
