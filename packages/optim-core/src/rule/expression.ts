import { contractVersion, requireVersion } from "../contract.ts";
import { refuse } from "../errors.ts";
import { isFinite32 } from "../schema.ts";

/**
 * The operations of an update rule. Every backend gives them these meanings, which are those of the reference evaluation:
 *
 * - each elementwise operation rounds to float32; scalars are float64 and are rounded to float32 once, where a tensor meets them;
 * - `min`, `max` and `sign` give NaN for NaN; `sign(±0)` is 0; comparisons with NaN are false;
 * - `min(x, s)` and `max(x, s)` of a tensor and a scalar give `x` where the two are equal, so the sign of a zero is the tensor's;
 * - a tensor divided by a scalar is multiplied by the scalar's reciprocal.
 *
 * `gradFactor` and `clipValue` are what core unscales and clips the gradient with; rules do not see them.
 */
export type Op =
  | "const"
  | "param"
  | "grad"
  | "slot"
  | "hyper"
  | "step"
  | "scalarSlot"
  | "norm"
  | "gradFactor"
  | "clipValue"
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "neg"
  | "sqrt"
  | "abs"
  | "sign"
  | "min"
  | "max"
  | "select"
  | "gt"
  | "lt"
  | "eq"
  | "pow"
  | "exp"
  | "log"
  | "biasCorrection";

/** A node of a traced rule. Rule authors see it as {@link Tensor}, {@link Scalar} or {@link Condition}. */
export class Expression {
  /** By these two an expression of another copy of this package is known. */
  readonly kind = "expression";
  readonly contract: number = contractVersion;
  readonly op: Op;
  readonly args: readonly Expression[];
  /** Whether there is one value per element; otherwise one per parameter tensor. */
  readonly elementwise: boolean;
  /** Whether it is the outcome of a comparison. */
  readonly condition: boolean;
  /** The value of a `const`; the position in a tuple of a `hyper` (-1 where it is no tuple). */
  readonly value: number;
  /** The name of a slot or a hyperparameter. */
  readonly name: string;

  constructor(
    op: Op,
    args: readonly Expression[],
    elementwise: boolean,
    value = 0,
    name = "",
    condition = false,
  ) {
    this.op = op;
    this.args = args;
    this.elementwise = elementwise;
    this.value = value;
    this.name = name;
    this.condition = condition;
  }

  /** An expression has no value while a rule is traced: `a + b`, `a > b` and `${a}` are mistakes. */
  [Symbol.toPrimitive](): never {
    refuse("invalid-rule", "update", "add, sub, mul, …, gt, lt, select", "a JavaScript operator", {
      hint: "Write mul(a, b) for a * b, and branch on a boolean of `structure`",
    });
  }
}

/**
 * Whether `x` is an expression, of this copy of the package or of another.
 *
 * @throws OptimError `contract-mismatch` for one of another version of the rule language
 */
export function isExpression(x: unknown): x is Expression {
  const { kind, contract } = Object(x) as Partial<Expression>;
  if (kind !== "expression") return false;
  requireVersion("update: an expression", contract);
  return true;
}

declare const tensor: unique symbol;
declare const scalar: unique symbol;
declare const condition: unique symbol;

/** One float32 per element of the parameter. */
export interface Tensor {
  readonly [tensor]: true;
}
/** One number per parameter tensor, float64 until a tensor meets it. */
export interface Scalar {
  readonly [scalar]: true;
}
/** The outcome of a comparison, for {@link select}. */
export interface Condition<out A extends Operand = Operand> {
  readonly [condition]: A;
}

export type Operand = Tensor | Scalar | number;
/** A tensor as soon as one of the operands is. */
export type Joined<A> = [Extract<A, Tensor>] extends [never] ? Scalar : Tensor;

/** A constant for a number. @throws OptimError `invalid-rule` for what is neither a finite number nor an expression */
export function lift(x: unknown): Expression {
  if (typeof x === "number") {
    if (!isFinite32(x)) refuse("invalid-rule", "update", "constants that are finite in float32", x);
    return new Expression("const", [], false, x);
  }
  if (isExpression(x)) return x;
  return refuse("invalid-rule", "update", "an expression or a number", x, {
    hint: "Is a slot or a hyperparameter misspelled, or absent from this structure?",
  });
}

function node(op: Op, operands: readonly unknown[], comparison = false): Expression {
  const args = operands.map(lift);
  for (const [index, arg] of args.entries()) {
    if (arg.condition !== (op === "select" && index === 0)) {
      refuse(
        "invalid-rule",
        op,
        "a condition first in select, and nowhere else",
        `${arg.op} as argument ${index}`,
      );
    }
  }
  const elementwise = args.some((arg) => arg.elementwise);
  return new Expression(op, args, elementwise, 0, "", comparison);
}

function scalarNode(op: Op, operands: readonly unknown[]): Expression {
  const result = node(op, operands);
  if (result.elementwise) refuse("invalid-rule", op, "scalars: it is computed once a step", "a tensor");
  return result;
}

// The one place where the typed surface meets the nodes.
const typed = <T>(expression: Expression): T => expression as unknown as T;

/** a + b */
export const add = <A extends Operand, B extends Operand>(a: A, b: B): Joined<A | B> =>
  typed(node("add", [a, b]));
/** a − b */
export const sub = <A extends Operand, B extends Operand>(a: A, b: B): Joined<A | B> =>
  typed(node("sub", [a, b]));
/** a × b */
export const mul = <A extends Operand, B extends Operand>(a: A, b: B): Joined<A | B> =>
  typed(node("mul", [a, b]));
/** a ÷ b; where only `a` is a tensor, a × (1 ÷ b) with the reciprocal in float64. */
export const div = <A extends Operand, B extends Operand>(a: A, b: B): Joined<A | B> => {
  const [x, y] = [lift(a), lift(b)];
  return typed(x.elementwise && !y.elementwise ? node("mul", [x, node("div", [1, y])]) : node("div", [x, y]));
};
/** −a */
export const neg = <A extends Operand>(a: A): Joined<A> => typed(node("neg", [a]));
/** √a */
export const sqrt = <A extends Operand>(a: A): Joined<A> => typed(node("sqrt", [a]));
/** |a| */
export const abs = <A extends Operand>(a: A): Joined<A> => typed(node("abs", [a]));
/** −1, 0 or 1; 0 for both zeros, NaN for NaN. */
export const sign = <A extends Operand>(a: A): Joined<A> => typed(node("sign", [a]));
/** The smaller; NaN where an element is NaN. */
export const min = <A extends Operand, B extends Operand>(a: A, b: B): Joined<A | B> =>
  typed(node("min", tensorFirst(a, b)));
/** The larger; NaN where an element is NaN. */
export const max = <A extends Operand, B extends Operand>(a: A, b: B): Joined<A | B> =>
  typed(node("max", tensorFirst(a, b)));
/** a > b; false with NaN. */
export const gt = <A extends Operand, B extends Operand>(a: A, b: B): Condition<A | B> =>
  typed(node("gt", [a, b], true));
/** a < b; false with NaN. */
export const lt = <A extends Operand, B extends Operand>(a: A, b: B): Condition<A | B> =>
  typed(node("lt", [a, b], true));
/** a = b; false with NaN, true for zeros of either sign. */
export const eq = <A extends Operand, B extends Operand>(a: A, b: B): Condition<A | B> =>
  typed(node("eq", [a, b], true));
/** `a` where the condition holds, else `b`. Both are computed. */
export const select = <C extends Operand, A extends Operand, B extends Operand>(
  where: Condition<C>,
  a: A,
  b: B,
): Joined<A | B | C> => typed(node("select", [where, a, b]));
/** base to the power of exponent. Scalars only. */
export const pow = (base: Scalar | number, exponent: Scalar | number): Scalar =>
  typed(scalarNode("pow", [base, exponent]));
/** e to the power of a. Scalars only. */
export const exp = (a: Scalar | number): Scalar => typed(scalarNode("exp", [a]));
/** The natural logarithm. Scalars only. */
export const log = (a: Scalar | number): Scalar => typed(scalarNode("log", [a]));
/**
 * 1 − βᵗ, the bias correction of exponential averages (Kingma & Ba, arXiv:1412.6980, algorithm 1). Scalars only. Write it so, not
 * as `sub(1, pow(beta, t))`: devices compute it as −expm1(t·ln β), which keeps its digits when β is near 1.
 */
export const biasCorrection = (beta: Scalar | number, t: Scalar | number): Scalar =>
  typed(scalarNode("biasCorrection", [beta, t]));
/**
 * The Euclidean norm of a whole parameter-shaped expression, a scalar (LARS, LAMB). Costs a pass over the tensor. It may not depend
 * on another norm.
 */
export const norm = (x: Tensor): Scalar => {
  const of = lift(x);
  if (!of.elementwise || of.condition) refuse("invalid-rule", "norm", "a tensor", of.op);
  return typed(new Expression("norm", [of], false));
};

function tensorFirst(a: unknown, b: unknown): [Expression, Expression] {
  const [x, y] = [lift(a), lift(b)];
  return y.elementwise && !x.elementwise ? [y, x] : [x, y];
}
