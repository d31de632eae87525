import type { BinaryOp, ComparisonOp, UnaryOp } from "./program.ts";

/**
 * The meaning of the operations, once: scalars are computed with these in float64, and the elementwise reference rounds each result to
 * float32 by storing it. For + − × ÷ √ of float32 operands that is the correctly rounded float32 result. A condition is 1 or 0.
 */
export const operations: {
  readonly [O in UnaryOp | BinaryOp | ComparisonOp | "exp" | "log" | "pow" | "biasCorrection" | "select"]: (
    a: number,
    b: number,
    condition: number,
  ) => number;
} = {
  neg: (a) => -a,
  sqrt: Math.sqrt,
  abs: Math.abs,
  // + 0 makes the sign of either zero 0.
  sign: (a) => Math.sign(a) + 0,
  exp: Math.exp,
  log: Math.log,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  // Not Math.min itself, which would take the third for one more to compare.
  min: (a, b) => Math.min(a, b),
  max: (a, b) => Math.max(a, b),
  gt: (a, b) => Number(a > b),
  lt: (a, b) => Number(a < b),
  eq: (a, b) => Number(a === b),
  pow: (a, b) => a ** b,
  biasCorrection: (beta, t) => 1 - beta ** t,
  select: (a, b, condition) => (condition === 1 ? a : b),
};

/** `min` and `max` of a tensor and a value that is the same for the whole tensor: ties keep the tensor's zero. */
export const boundOps: {
  readonly min: (a: number, b: number) => number;
  readonly max: (a: number, b: number) => number;
} = {
  min: (a, bound) => (bound < a ? bound : a),
  max: (a, bound) => (a < bound ? bound : a),
};

/** A node or an instruction that has operands, by their positions. */
export interface Operation {
  readonly op: keyof typeof operations;
  readonly a: number;
  readonly b?: number;
  readonly condition?: number;
}
