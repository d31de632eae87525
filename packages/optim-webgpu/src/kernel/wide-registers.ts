import { opCodes } from "./scalars.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Registers for programs with norms, since finite elements may have a norm beyond float32: a number is pair × 2^(112 × level). The level is 0
 * wherever a pair holds the number by itself, so ordinary numbers are computed as in `prepare`; a norm has a level of 1 at most, and a pair
 * below 2^32, which leaves room for its powers. Expects `registers` and `compute` of `interpreter.ts`, and `pairFunctions`.
 *
 * @param registers as many as there are
 * @param norms as many as the program with most has
 */
export const wideRegisters = (registers: number, norms: number): string => wgsl`
  var<private> norms: array<vec2f, ${norms}>;
  var<private> normLevels: array<i32, ${norms}>;
  var<private> levels: array<i32, ${registers}>;

  // A register as if it had this level. At a higher one it may vanish, at a lower one be infinite.
  fn atLevel(i: u32, level: i32) -> vec2f {
    let root = powerOfTwo(56 * (levels[i] - level));
    return registers[i] * root * root;
  }

  fn computeWide(i: u32, op: u32, place: u32, step: u32, block: u32, b: u32, c: u32) {
    var level = max(levels[place], levels[b]);
    if (op >= ${opCodes.expm1}u && op <= ${opCodes.power}u) { level = 0; }
    let a = atLevel(place, level);
    var value = compute(op, place, step, block, a, atLevel(b, level), registers[c]);
    switch (op) {
      case ${opCodes.norm}u: {
        value = norms[place];
        level = normLevels[place];
      }
      case ${opCodes.mul}u: {
        value = mul(registers[place], registers[b]);
        level = levels[place] + levels[b];
      }
      case ${opCodes.div}u: {
        value = div(registers[place], registers[b]);
        level = levels[place] - levels[b];
      }
      case ${opCodes.sqrt}u: {
        value *= powerOfTwo(56 * (level & 1));
        level = level >> 1u;
      }
      case ${opCodes.min}u, ${opCodes.max}u, ${opCodes.select}u: {
        // The operand itself, which may have vanished at the other's level.
        let chosen = select(b, place, all(bitcast<vec2u>(value) == bitcast<vec2u>(a)));
        value = registers[chosen];
        level = levels[chosen];
      }
      case ${opCodes.step}u, ${opCodes.scalarSlot}u, ${opCodes.total}u, ${opCodes.sign}u, ${opCodes.gt}u, ${opCodes.eq}u: { level = 0; }
      default: {}
    }
    registers[i] = value;
    levels[i] = level;
    let size = sizeOf(value.x);
    let exponent = i32(size >> 23u) + 112 * level;
    if (size == 0u || size >= 0x7f800000u || (exponent > 0 && exponent < 255)) {
      registers[i] = atLevel(i, 0);
      levels[i] = 0;
    }
  }
`;
