import { type FunctionWriter, v128 } from "./assembler.ts";
import { lanes } from "./lanes.ts";
import * as op from "./opcodes.ts";

/** The measures that are added up in float64, or looked for: Σab, Σa, Σ|a|, max |a|. */
export type Measured = "dot" | "sum" | "sizes" | "largest";

/** The state of a measurement. Sums: two float64 each, partials 0 and 1, 2 and 3. Largest: `first` alone, float32 as bits. */
export interface Gauge {
  readonly what: Measured;
  /** Locals. */
  readonly first: number;
  readonly second: number;
}

export function newGauge(code: FunctionWriter, what: Measured): Gauge {
  return { what, first: code.local(v128), second: code.local(v128) };
}

/** Puts the float64 terms of the two lower lanes of a and b on the stack. */
export function emitTerms(code: FunctionWriter, what: Measured, a: number, b: number, scratch: number): void {
  code.get(a).op(op.f64x2PromoteLowF32x4);
  if (what === "sum") return;
  if (what !== "dot") code.op(op.f64x2Abs);
  else if (a === b) {
    code.set(scratch);
    code.get(scratch, scratch).op(op.f64x2Mul);
  } else code.get(b).op(op.f64x2PromoteLowF32x4).op(op.f64x2Mul);
}

/** Moves the two upper lanes down. */
export function emitUpper(code: FunctionWriter, from: number, to: number): void {
  code
    .get(from, from)
    .op(op.i8x16Shuffle, ...lanes(2, 3, 2, 3))
    .set(to);
}

/** @param a local of the vector that is measured, and `b` of the other one of a dot product @param spare three locals */
export function emitMeasure(
  code: FunctionWriter,
  { what, first, second }: Gauge,
  a: number,
  b: number,
  [scratch, upperA, upperB]: readonly [number, number, number],
): void {
  if (what === "largest") {
    // Of values without a sign the greater has the greater bits, and NaN the greatest.
    code.get(first, a).op(op.f32x4Abs).op(op.i32x4MaxS).set(first);
    return;
  }
  code.get(first);
  emitTerms(code, what, a, b, scratch);
  code.op(op.f64x2Add).set(first);
  emitUpper(code, a, upperA);
  if (b !== a) emitUpper(code, b, upperB);
  code.get(second);
  emitTerms(code, what, upperA, b === a ? upperA : upperB, scratch);
  code.op(op.f64x2Add).set(second);
}

/** Puts (0 + 1) + (2 + 3), or the largest of four, on the stack as a float64. */
export function emitResult(code: FunctionWriter, { what, first, second }: Gauge): void {
  if (what === "largest") {
    for (const order of [lanes(2, 3, 0, 1), lanes(1, 0, 3, 2)]) {
      code
        .get(first, first, first)
        .op(op.i8x16Shuffle, ...order)
        .op(op.i32x4MaxS)
        .set(first);
    }
    code.get(first).op(op.i32x4ExtractLane, 0).op(op.f32ReinterpretI32).op(op.f64PromoteF32);
    return;
  }
  for (const partials of [first, second]) {
    code.get(partials).op(op.f64x2ExtractLane, 0).get(partials).op(op.f64x2ExtractLane, 1).op(op.f64Add);
  }
  code.op(op.f64Add);
}
