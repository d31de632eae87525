import type { FunctionWriter } from "./assembler.ts";
import * as op from "./opcodes.ts";

/** Four elements of a vector of bfloat16, or one in all lanes, as float32. Expects the address on the stack. */
export function emitWiden(code: FunctionWriter, all: boolean, offset: number): FunctionWriter {
  if (all) code.access(op.v128Load16x4U, offset);
  else code.access(op.i32Load16U, offset).op(op.i32x4Splat);
  return code.int(16).op(op.i32x4Shl);
}

/**
 * Stores four float32, or the first, as bfloat16: rounded to nearest, ties to even; a NaN keeps a bit that rounding could not carry away.
 * Expects the address on the stack.
 */
export function emitNarrow(
  code: FunctionWriter,
  value: number,
  all: boolean,
  offset: number,
): FunctionWriter {
  // value + 0x7fff + its last bit that stays
  code.get(value).integers(0x7fff).op(op.i32x4Add);
  code.get(value).int(16).op(op.i32x4ShrU).integers(1).op(op.v128And).op(op.i32x4Add);
  code.get(value).integers(0x400000).op(op.v128Or);
  code.get(value, value).op(op.f32x4Eq).op(op.v128Bitselect);
  code.int(16).op(op.i32x4ShrU).integers(0).op(op.i16x8NarrowI32x4U);
  return code.access(all ? op.v128Store64Lane : op.v128Store16Lane, offset, 0);
}
