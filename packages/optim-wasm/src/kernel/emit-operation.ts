import { type ElementNode, operandsOf } from "@mm/optim-core/backend";
import type { FunctionWriter } from "./assembler.ts";
import * as op from "./opcodes.ts";

/** An operation of the elementwise part. */
type Operation = Exclude<
  ElementNode,
  { readonly op: "param" | "grad" | "slot" | "reduced" | "matrix" | "uniform" | "const" }
>;

/** The operations that are one instruction on their operands. */
const arithmetic = {
  neg: op.f32x4Neg,
  sqrt: op.f32x4Sqrt,
  abs: op.f32x4Abs,
  add: op.f32x4Add,
  sub: op.f32x4Sub,
  mul: op.f32x4Mul,
  div: op.f32x4Div,
  gt: op.f32x4Gt,
  lt: op.f32x4Lt,
  eq: op.f32x4Eq,
};

/** With a scalar as the second operand, pmin is `s < x ? s : x`: it keeps the NaN of x, and costs a third. */
const extremes = { min: [op.f32x4Min, op.f32x4Pmin], max: [op.f32x4Max, op.f32x4Pmax] } as const;

/** @param local of an operand @param isScalar whether an operand is the same for the whole tensor */
export function emitOperation(
  code: FunctionWriter,
  node: Operation,
  local: (operand: number) => number,
  isScalar: (operand: number) => boolean,
): FunctionWriter {
  switch (node.op) {
    case "select":
      return code.get(local(node.a), local(node.b), local(node.condition)).op(op.v128Bitselect);
    case "sign":
      return emitSign(code, local(node.a));
    case "min":
    case "max":
      return code.get(local(node.a), local(node.b)).op(extremes[node.op][isScalar(node.b) ? 1 : 0]);
    default:
      return code.get(...operandsOf(node).map(local)).op(arithmetic[node.op]);
  }
}

/** ±1 by the sign bit where |x| > −0, else x − (−0): 0 for both zeros, NaN for NaN. */
function emitSign(code: FunctionWriter, x: number): FunctionWriter {
  code.get(x).splat(-0).op(op.v128And).splat(1).op(op.v128Or);
  code.get(x).splat(-0).op(op.f32x4Sub);
  return code.get(x).op(op.f32x4Abs).splat(-0).op(op.f32x4Gt).op(op.v128Bitselect);
}
