import { contractVersion, requireVersion } from "../contract.ts";
import { refuse } from "../errors.ts";
import { isFinite32 } from "../schema.ts";

/**
 * The operations of an update rule. Every backend gives them these meanings, which are those of the reference evaluation:
 *
 * - each elementwise operation rounds to float32; scalars are float64 and are rounded to float32 once, where a tensor meets them;
 * - `min`, `max` and `sign` give NaN for NaN; `sign(±0)` is 0; comparisons with NaN are false;
 * - `min(x, s)` and `max(x, s)` of a tensor and a scalar give `x` where the two are equal, so the sign of a zero is the tensor's;
 * - a tensor divided by a scalar is multiplied by the scalar's reciprocal;
 * - reductions are summed in float64 where a host computes them; one number per row or per column is rounded to float32 once, one per tensor
 *   stays float64.
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
  | "size"
  | "rows"
  | "cols"
  | "norm"
  | "sum"
  | "dot"
  | "largest"
  | "total"
  | "newtonSchulz"
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

/**
 * The axes along which a value differs, as bits: 1 from row to row, 2 from column to column. An element of a tensor differs along both (3), a
 * scalar along none (0).
 */
export type Axes = 0 | 1 | 2 | 3;

/** A reduction gives one number for each of these. */
export type Per = "tensor" | "row" | "column";

/** The coefficients a, b, c of one Newton–Schulz step of {@link orthogonalize}. */
export type Coefficients = readonly [a: number, b: number, c: number];

/** A node of a traced rule. Rule authors see it as {@link Tensor}, {@link Row}, {@link Column}, {@link Scalar} or {@link Condition}. */
export class Expression {
  /** By these two an expression of another copy of this package is known. */
  readonly kind = "expression";
  readonly contract: number = contractVersion;
  readonly op: Op;
  readonly args: readonly Expression[];
  readonly axes: Axes;
  /** Whether it is the outcome of a comparison. */
  readonly condition: boolean;
  /** The value of a `const`; the position in a tuple of a `hyper` (-1 where it is no tuple). */
  readonly value: number;
  /** The name of a slot or a hyperparameter; of a reduction, {@link Per}. */
  readonly name: string;
  /** Of `newtonSchulz`: one triple a step. */
  readonly coefficients: readonly Coefficients[];

  constructor(
    op: Op,
    args: readonly Expression[],
    axes: Axes,
    {
      value = 0,
      name = "",
      condition = false,
      coefficients = [],
    }: Partial<Pick<Expression, "value" | "name" | "condition" | "coefficients">> = {},
  ) {
    this.op = op;
    this.args = args;
    this.axes = axes;
    this.value = value;
    this.name = name;
    this.condition = condition;
    this.coefficients = coefficients;
  }

  /** Whether it is no scalar: one value per element, per row or per column. */
  get elementwise(): boolean {
    return this.axes !== 0;
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

declare const axes: unique symbol;
declare const condition: unique symbol;

type Axis = "row" | "column";

// Invariant in its axes: otherwise a tensor would pass for a row.
/** A value that differs along the axes `A`. */
export interface Value<in out A extends Axis> {
  readonly [axes]: (along: A) => A;
}
/** Any of them, so that a function of a rule may be generic. */
interface AnyValue {
  readonly [axes]: (along: never) => unknown;
}

/** One float32 per element of the parameter. */
export type Tensor = Value<"row" | "column">;
/** One float32 per row of the parameter, a matrix: per output of a layer. */
export type Row = Value<"row">;
/** One float32 per column of the parameter, a matrix: per input of a layer. */
export type Column = Value<"column">;
/** One number per parameter tensor, float64 until a tensor meets it. */
export type Scalar = Value<never>;
/** The outcome of a comparison, for {@link select}. */
export interface Condition<out A extends Operand = Operand> {
  readonly [condition]: A;
}

export type Operand = AnyValue | number;
type Vector = Tensor | Row | Column;
/** The result of an operation on these: it differs along every axis along which one of them does. A row and a column make a tensor. */
export type Joined<A> = Value<AxesOf<A>>;
type AxesOf<A> = A extends Value<infer Along> ? Along : never;

/** A constant for a number. @throws OptimError `invalid-rule` for what is neither a finite number nor an expression */
export function lift(x: unknown): Expression {
  if (typeof x === "number") {
    if (!isFinite32(x)) refuse("invalid-rule", "update", "constants that are finite in float32", x);
    return new Expression("const", [], 0, { value: x });
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
  return new Expression(op, args, union(args), { condition: comparison });
}

const union = (args: readonly Expression[]): Axes =>
  args.reduce<number>((all, arg) => all | arg.axes, 0) as Axes;

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
/** a ÷ b; where only `b` is a scalar, a × (1 ÷ b) with the reciprocal in float64. */
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
 * The Euclidean norm, √Σx², of a whole tensor (LARS, LAMB), or of all rows or columns together: a scalar. Costs a pass over the tensor, which
 * all reductions share that do not depend on each other.
 */
export const norm = (x: Vector): Scalar => typed(reduction("norm", [x]));
/** Σx over the whole tensor, or over each row or column. Costs a pass, as {@link norm}. */
export const sum: {
  (x: Vector): Scalar;
  <P extends Axis>(x: Tensor, per: P): Value<P>;
} = (x: Vector, per: Per = "tensor") => typed<never>(reduction("sum", [x], per));
/** Σxy, over the whole tensor, or over each row or column. Costs a pass, as {@link norm}. */
export const dot: {
  (x: Vector, y: Vector): Scalar;
  <P extends Axis>(x: Tensor, y: Tensor, per: P): Value<P>;
} = (x: Vector, y: Vector, per: Per = "tensor") => typed<never>(reduction("dot", [x, y], per));
/** max |x| of the whole tensor, or of each row or column; NaN where an element is. Costs a pass, as {@link norm}. */
export const largest: {
  (x: Vector): Scalar;
  <P extends Axis>(x: Tensor, per: P): Value<P>;
} = (x: Vector, per: Per = "tensor") => typed<never>(reduction("largest", [x], per));
/**
 * The sum of a scalar over all tensors that take part in this step by this rule (Prodigy's single step size). Waits for the passes of all of
 * them.
 */
export const total = (x: Scalar): Scalar => {
  const of = lift(x);
  if (of.elementwise)
    refuse("invalid-rule", "total", "a scalar: reduce a tensor first, total(sum(x))", "a tensor");
  return typed(new Expression("total", [of], 0));
};

/** Keller Jordan's coefficients, five steps: the slope at 0 is as steep as can be, and singular values end between 0.7 and 1.2. */
const triple: Coefficients = [3.4445, -4.775, 2.0315];
const jordan: readonly Coefficients[] = [triple, triple, triple, triple, triple];

export interface OrthogonalizeOptions {
  /** One triple a step, constants of the trace. Default: five times (3.4445, −4.775, 2.0315). */
  readonly coefficients?: readonly Coefficients[];
  /** The divisor, from the norm of x: no singular value may be above 1 after it. Default: the norm + 1e-7. */
  readonly divisor?: (norm: Scalar) => Scalar;
}

/**
 * Nearly the closest matrix with orthonormal rows or columns, UVᵀ of x = USVᵀ, by Newton–Schulz steps (Jordan et al., Muon,
 * https://kellerjordan.github.io/posts/muon). The tensor is taken as a matrix, in a rule with `shapes`.
 *
 * ```
 * X ← x / (‖x‖ + 1e-7), transposed meanwhile where it has more rows than columns
 * A ← XXᵀ,  X ← aX + (bA + cA²)X       for each of the coefficients (a, b, c)
 * ```
 *
 * Every product and sum is rounded to float32 and a sum runs upwards from 0 where a host computes. For an m × n matrix, m ≤ n, a step costs
 * 4m²n + 2m³ operations; the norm costs a pass.
 */
export const orthogonalize = (x: Tensor, options: OrthogonalizeOptions = {}): Tensor => {
  const { coefficients = jordan, divisor = (size) => add(size, 1e-7) } = options;
  const of = lift(x);
  if (of.axes !== 3 || of.condition) refuse("invalid-rule", "orthogonalize", "a tensor", of.op);
  const fine = (coefficients as readonly (readonly unknown[])[]).every(
    (given) => given.length === 3 && given.every(isFinite32),
  );
  if (coefficients.length === 0 || !fine) {
    const expected = "three finite numbers for each of one step or more";
    refuse("invalid-rule", "orthogonalize: coefficients", expected, coefficients);
  }
  const normalized = lift(div(x, divisor(norm(x))));
  return typed(new Expression("newtonSchulz", [normalized], 3, { coefficients }));
};

function reduction(op: Op, operands: readonly unknown[], per: Per = "tensor"): Expression {
  const args = operands.map(lift);
  const domain = union(args);
  if (domain === 0 || args.some(({ condition: is }) => is))
    refuse(
      "invalid-rule",
      op,
      "a tensor, a row or a column",
      args.map((arg) => arg.op),
    );
  if (per !== "tensor" && domain !== 3)
    refuse("invalid-rule", `${op} per ${per}`, "a tensor", `one per ${domain === 1 ? "row" : "column"}`);
  return new Expression(op, args, per === "row" ? 1 : per === "column" ? 2 : 0, { name: per });
}

function tensorFirst(a: unknown, b: unknown): [Expression, Expression] {
  const [x, y] = [lift(a), lift(b)];
  return y.elementwise && !x.elementwise ? [y, x] : [x, y];
}
