import type { BinaryOp, ComparisonOp, UnaryOp } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { divide } from "./division.ts";
import { select } from "./select.ts";
import { asNumbers, type Constants, type Value } from "./value.ts";

/**
 * The operations of a rule in tfjs ops, with core's meanings. `tf.sign`, `tf.minimum` and `tf.maximum` have others (on tfjs-wasm
 * sign(1e-30) is 0, and the maximum of NaN and 1 is 1), so these three are made of comparisons.
 */
export const unary: { readonly [O in UnaryOp]: (a: Value, constant?: Constants) => tf.Tensor } = {
  neg: (a) => tf.neg(a),
  sqrt: (a) => tf.sqrt(a),
  abs: (a) => tf.abs(a),
  // NaN is neither above, below nor equal to 0, and stays.
  sign(a, constant = asNumbers) {
    const [zero, one, minusOne] = [constant(0), constant(1), constant(-1)];
    const below = select(tf.less(a, zero), minusOne, select(tf.equal(a, zero), zero, a));
    return select(tf.greater(a, zero), one, below);
  },
};

export const binary: {
  readonly [O in BinaryOp | ComparisonOp]: (a: Value, b: Value, constant?: Constants) => tf.Tensor;
} = {
  add: (a, b) => tf.add(a, b),
  sub: (a, b) => tf.sub(a, b),
  mul: (a, b) => tf.mul(a, b),
  div: divide,
  // With NaN neither comparison holds, and the sum is NaN.
  min: (a, b) => select(tf.lessEqual(a, b), a, select(tf.less(b, a), b, tf.add(a, b))),
  max: (a, b) => select(tf.greaterEqual(a, b), a, select(tf.greater(b, a), b, tf.add(a, b))),
  gt: (a, b) => tf.greater(a, b),
  lt: (a, b) => tf.less(a, b),
  eq: (a, b) => tf.equal(a, b),
};

/** The smaller of a tensor and a finite scalar; NaN where the tensor is NaN. */
export const minWithScalar = (a: Value, bound: Value): tf.Tensor => select(tf.less(bound, a), bound, a);
/** The larger of the two; NaN where the tensor is NaN. */
export const maxWithScalar = (a: Value, bound: Value): tf.Tensor => select(tf.less(a, bound), bound, a);

const largestFloat32 = 3.4028234663852886e38;

/** Where elements are finite: false for NaN too. */
export const finiteElements = (x: Value, constant: Constants = asNumbers): tf.Tensor =>
  tf.lessEqual(tf.abs(x), constant(largestFloat32));

/** A condition as 1 or 0. */
export const asNumber = (condition: tf.Tensor): tf.Tensor => tf.cast(condition, "float32");

/** Taylor's coefficients of (1 − e⁻ᵘ) ÷ u from u⁷ down: (−1)ᵏ ÷ (k + 1)! */
const coefficients = [-1 / 40320, 1 / 5040, -1 / 720, 1 / 120, -1 / 24, 1 / 6, -1 / 2, 1];

/**
 * 1 − βᵗ as −expm1(t·ln β), for a step count that only the device knows. Where u = −t·ln β is below ½, `1 − exp(−u)` would cancel, and
 * the polynomial takes its place (its remainder, u⁸ ÷ 9!, is 1.1e-8 at most). Relative error at most 3e-7, of which the float32 factor
 * ln β makes half.
 */
export function biasCorrection(beta: Value, t: Value): Value {
  if (beta === 0) return 1;
  const u = tf.mul(t, typeof beta === "number" ? -Math.log(beta) : tf.neg(tf.log(beta)));
  const [first = 0, ...rest] = coefficients;
  const series = rest.reduce<Value>((sum, coefficient) => tf.add(tf.mul(sum, u), coefficient), first);
  return tf.where(tf.less(u, 0.5), tf.mul(u, series), tf.sub(1, tf.exp(tf.neg(u))));
}

/**
 * The p-norm of all tensors together as a scalar, and the sum of powers behind it, which is finite exactly where every element is.
 * Elements are divided by the largest before they are raised, so that powers of finite elements neither overflow nor vanish.
 */
export function pNorm(
  tensors: readonly tf.Tensor[],
  p: number,
): {
  readonly norm: tf.Tensor;
  readonly sum: tf.Tensor;
  /** Two finite numbers whose product the norm is, though that may overflow: what it is multiplied by goes between them. */
  readonly factors: tf.Tensor;
} {
  const sizes = orZero(tensors).map((tensor) => tf.abs(tensor));
  const largest = sizes.map((size) => tf.max(size)).reduce((a, b) => binary.max(a, b));
  const usable = tf.logicalAnd(tf.greater(largest, 0), finiteElements(largest));
  const scale = tf.where(usable, largest, 1);
  const powers = sizes.map((size) => {
    const scaled = tf.div(size, scale);
    return sum(
      p === 2 ? tf.square(scaled) : p === 1 || p === Number.POSITIVE_INFINITY ? scaled : tf.pow(scaled, p),
    );
  });
  const total = powers.reduce((a, b) => tf.add(a, b));
  // tf.max may lose a NaN; the sum does not.
  if (p === Number.POSITIVE_INFINITY) {
    const norm = tf.where(finiteElements(total), largest, total);
    return { norm, sum: total, factors: tf.stack([norm, tf.onesLike(norm)]) };
  }
  if (p === 1 || p === 2) {
    const root = p === 1 ? total : tf.sqrt(total);
    return { norm: tf.mul(scale, root), sum: total, factors: tf.stack([scale, root]) };
  }
  const lost = lostNaN(sizes);
  // On some devices no power is 0, that of 0 included.
  const root = tf.add(tf.where(tf.equal(largest, 0), 0, tf.pow(total, 1 / p)), lost);
  return { norm: tf.mul(scale, root), sum: tf.add(total, lost), factors: tf.stack([scale, root]) };
}

/** 0, or NaN where an element is: tfjs-webgl's pow can lose it. */
function lostNaN(sizes: readonly tf.Tensor[]): tf.Tensor {
  const isNumber = (size: tf.Tensor): tf.Tensor => tf.lessEqual(size, Number.POSITIVE_INFINITY);
  return sizes.map((size) => tf.sum(select(isNumber(size), 0, size))).reduce((a, b) => tf.add(a, b));
}

/** Without the empty ones, which not every backend can reduce; a zero where nothing is left. */
export function orZero(tensors: readonly tf.Tensor[]): readonly tf.Tensor[] {
  const filled = tensors.filter(({ size }) => size > 0);
  return filled.length > 0 ? filled : [tf.scalar(0)];
}

/** Up to this many elements one sum is exact enough, see {@link sum}. */
export const shortSum = 4096;

/**
 * The sum of all elements in two passes, of rows and of their sums: a single running float32 sum of a million elements, which is what
 * tfjs-wasm takes, errs by 5e-4.
 */
export function sum(x: tf.Tensor): tf.Tensor {
  if (x.size <= shortSum) return tf.sum(x);
  const columns = Math.floor(Math.sqrt(x.size));
  const rows = Math.floor(x.size / columns);
  const flat = tf.reshape(x, [x.size]);
  const matrix = tf.reshape(tf.slice(flat, 0, rows * columns), [rows, columns]);
  const total = tf.sum(tf.sum(matrix, 1));
  return rows * columns === x.size ? total : tf.add(total, tf.sum(tf.slice(flat, rows * columns)));
}
