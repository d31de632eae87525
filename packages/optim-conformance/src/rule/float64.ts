import type { HyperparameterRecord } from "@mm/optim-core";
import { type Extents, extentsOf, lengthAlong, type MatrixView, structureOf } from "@mm/optim-core/backend";
import { type Axes, type Coefficients, type ErasedDefinition, Expression } from "@mm/optim-core/rule";

/** A parameter of a model, with all that a rule keeps of it, in float64. */
export interface Modelled {
  /** Elements as they lie in memory. So do those of its slots; a slot along one axis has the rule's order. */
  values: readonly number[];
  /** The tensor as a matrix; one row where it has fewer than two dimensions. */
  readonly view: MatrixView;
  /** Steps taken. */
  step: number;
  slots: { readonly [slot: string]: readonly number[] };
  scalarSlots: { readonly [slot: string]: number };
}

/** One number for the tensor, or one for each row, column or element in the rule's order. A condition is 1 or 0. */
interface Value {
  readonly axes: Axes;
  readonly data: readonly number[];
}

/** The meaning of the operations. Of the elementwise ones nothing is rounded here. */
const meanings: { readonly [op: string]: (...operands: readonly number[]) => number } = {
  add: (a = 0, b = 0) => a + b,
  sub: (a = 0, b = 0) => a - b,
  mul: (a = 0, b = 0) => a * b,
  div: (a = 0, b = 0) => a / b,
  neg: (a = 0) => -a,
  sqrt: (a = 0) => Math.sqrt(a),
  abs: (a = 0) => Math.abs(a),
  sign: (a = 0) => Math.sign(a),
  min: (a = 0, b = 0) => Math.min(a, b),
  max: (a = 0, b = 0) => Math.max(a, b),
  gt: (a = 0, b = 0) => Number(a > b),
  lt: (a = 0, b = 0) => Number(a < b),
  eq: (a = 0, b = 0) => Number(a === b),
  select: (condition = 0, a = 0, b = 0) => (condition === 1 ? a : b),
  pow: (a = 0, b = 0) => a ** b,
  exp: (a = 0) => Math.exp(a),
  log: (a = 0) => Math.log(a),
  // −expm1(t·ln β) keeps the digits that 1 − βᵗ loses near 1.
  biasCorrection: (beta = 0, t = 0) => (beta > 0 ? -Math.expm1(t * Math.log(beta)) : 1 - beta ** t),
};

/** The results of reductions over the numbers that they run over; of two operands they get the products. */
const reductions: { readonly [op: string]: (numbers: readonly number[]) => number } = {
  norm: (numbers) => Math.hypot(...numbers),
  sum: (numbers) => numbers.reduce((sum, value) => sum + value, 0),
  dot: (numbers) => numbers.reduce((sum, value) => sum + value, 0),
  largest: (numbers) => Math.max(0, ...numbers.map(Math.abs)),
};

const flat = (length: number): MatrixView => ({ matrix: false, transposed: false, rows: 1, cols: length });

/** A parameter that took no step yet. */
export function modelled(values: ArrayLike<number>, view: MatrixView = flat(values.length)): Modelled {
  return { values: Array.from(values), view, step: 0, slots: {}, scalarSlots: {} };
}

/** The evaluation point of a rule that has one, in float64: what stands in the parameter while the model is used. */
export function pointInFloat64(
  definition: ErasedDefinition,
  hyperparameters: HyperparameterRecord,
  parameter: Modelled,
): readonly number[] {
  // Written as a rule that moves there.
  const moving: ErasedDefinition = {
    ...definition,
    update(x, h, structure) {
      const { grad: _grad, step: _step, size: _size, rows: _rows, cols: _cols, ...given } = x;
      return { ...given, param: definition.evaluate?.(given, h, structure) };
    },
  };
  const [moved] = stepInFloat64(moving, hyperparameters, [[parameter, parameter.values]]) as [Modelled];
  return moved.values;
}

/**
 * One step of a rule in float64, of all parameters that have a gradient. Follows the expressions that `update` returns and nothing else: no trace, no lowering
 * and no kernel has a part in it. A slot that this structure has and the last one had not begins with its initial value.
 *
 * @param shared the shared slots as of the last step: scalar slots of a parameter that took it
 */
export function stepInFloat64(
  definition: ErasedDefinition,
  hyperparameters: HyperparameterRecord,
  taking: readonly (readonly [before: Modelled, gradient: ArrayLike<number>])[],
  shared: Modelled["scalarSlots"] = {},
): readonly Modelled[] {
  const tensors: Tensor[] = [];
  // The rule is asked for each tensor anew, so that a total of one is the same total of another by its place alone.
  const total = (place: number): number =>
    tensors.reduce((sum, { evaluate, totals }) => {
      const operand = totals[place]?.args[0];
      return sum + (operand === undefined ? 0 : (evaluate(operand).data[0] as number));
    }, 0);
  for (const [before, gradient] of taking)
    tensors.push(tensorOf(definition, hyperparameters, before, gradient, shared, total));
  return tensors.map(({ after }) => after());
}

/** One parameter in a step. */
interface Tensor {
  readonly evaluate: (expression: Expression) => Value;
  /** In the order in which the rule's expressions come to them. */
  readonly totals: readonly Expression[];
  readonly after: () => Modelled;
}

function tensorOf(
  definition: ErasedDefinition,
  hyperparameters: HyperparameterRecord,
  before: Modelled,
  gradient: ArrayLike<number>,
  shared: Modelled["scalarSlots"],
  total: (place: number) => number,
): Tensor {
  const { view } = before;
  const grid = extentsOf(view);
  const structure = structureOf(definition, hyperparameters, view);
  const step = before.step + 1;
  const known = new Map<Expression, Value>();
  const leaf = (axes: Axes, data: readonly number[]): Expression => {
    const expression = new Expression("param", [], axes);
    known.set(expression, { axes, data });
    return expression;
  };
  const number = (value: number): Expression => leaf(0, [value]);
  // The rule's rows may be the columns of memory.
  const memory = view.transposed
    ? before.values.map((_, index) => (index % grid.rows) * grid.cols + Math.floor(index / grid.rows))
    : before.values.map((_, index) => index);
  const stored = (elements: readonly number[]): readonly number[] =>
    memory.map((index) => elements[index] as number);
  const ruled = (elements: ArrayLike<number>): readonly number[] => {
    const turned = memory.map(() => 0);
    for (const [index, at] of memory.entries()) turned[at] = elements[index] as number;
    return turned;
  };

  const slots = Object.entries(definition.slots?.(structure) ?? {}).map(([name, declared]) => {
    const along = typeof declared === "object" ? declared : undefined;
    const axes: Axes = along === undefined ? 3 : along.per === "row" ? 1 : 2;
    const initial = typeof declared === "object" ? declared.initial : declared;
    const first = typeof initial === "function" ? initial(hyperparameters) : initial;
    const begins =
      first === "param" ? before.values : Array.from({ length: lengthAlong(grid, axes) }, () => first);
    return { name, axes, values: before.slots[name] ?? begins };
  });
  const scalarSlots = Object.entries(definition.scalarSlots?.(hyperparameters, structure) ?? {}).map(
    ([name, declared]) => {
      const now =
        typeof declared === "object"
          ? (shared[name] ?? declared.initial)
          : (before.scalarSlots[name] ?? declared);
      return [name, now] as const;
    },
  );
  const x: Record<string, Expression> = {
    param: leaf(3, ruled(before.values)),
    grad: leaf(3, ruled(gradient)),
    step: number(step),
    size: number(before.values.length),
    rows: number(grid.rows),
    cols: number(grid.cols),
  };
  for (const { name, axes, values } of slots) x[name] = leaf(axes, axes === 3 ? ruled(values) : values);
  for (const [name, value] of scalarSlots) x[name] = number(value);
  const h: Record<string, Expression | readonly Expression[]> = {};
  for (const [name, value] of Object.entries(hyperparameters)) {
    if (typeof value === "number") h[name] = number(value);
    else if (typeof value === "object") h[name] = value.map(number);
  }

  const evaluate = (expression: Expression): Value => {
    let value = known.get(expression);
    if (value === undefined) known.set(expression, (value = compute(expression)));
    return value;
  };
  const compute = (expression: Expression): Value => {
    const { op, args, axes, value, coefficients } = expression;
    if (op === "const") return { axes, data: [value] };
    if (op === "total") return { axes, data: [total(totals.indexOf(expression))] };
    const operands = args.map(evaluate);
    if (op === "newtonSchulz")
      return { axes, data: newtonSchulz(ruledRows(operands[0] as Value), coefficients) };
    const domain = operands.reduce<number>((all, operand) => all | operand.axes, 0) as Axes;
    const reduction = reductions[op];
    const meaning = reduction === undefined ? meanings[op] : product;
    const numbers = places(grid, domain).map((place) => ({
      place,
      result: (meaning as typeof product)(...operands.map((operand) => at(operand, grid, place))),
    }));
    if (reduction === undefined) return { axes, data: numbers.map(({ result }) => result) };
    const data = places(grid, axes).map((group) =>
      reduction(numbers.filter(({ place }) => isIn(group, place, axes)).map(({ result }) => result)),
    );
    return { axes, data };
  };
  const ruledRows = ({ data }: Value): Matrix =>
    Array.from({ length: grid.rows }, (_, row) => data.slice(row * grid.cols, (row + 1) * grid.cols));

  const returned = definition.update(x, h, structure);
  const totals = totalsIn(Object.values(returned));
  const next = (name: string, axes: Axes): readonly number[] => {
    const expression = returned[name];
    const value =
      typeof expression === "number"
        ? { axes: 0 as const, data: [expression] }
        : evaluate(expression as Expression);
    const data = places(grid, axes).map((place) => at(value, grid, place));
    return axes === 3 ? stored(data) : data;
  };
  const after = (): Modelled => ({
    values: next("param", 3),
    view,
    step,
    slots: {
      ...before.slots,
      ...Object.fromEntries(slots.map(({ name, axes }) => [name, next(name, axes)])),
    },
    scalarSlots: {
      ...before.scalarSlots,
      ...Object.fromEntries(scalarSlots.map(([name]) => [name, next(name, 0)[0] as number])),
    },
  });
  return { evaluate, totals, after };
}

function totalsIn(expressions: readonly unknown[]): readonly Expression[] {
  const seen = new Set<Expression>();
  const visit = (expression: unknown): void => {
    if (!(expression instanceof Expression) || seen.has(expression)) return;
    seen.add(expression);
    for (const arg of expression.args) visit(arg);
  };
  for (const expression of expressions) visit(expression);
  return [...seen].filter(({ op }) => op === "total");
}

const product = (...operands: readonly number[]): number => operands.reduce((all, value) => all * value, 1);

type Place = readonly [row: number, column: number];

/** A place for each number that differs along these axes, row by row. */
function places(grid: Extents, axes: Axes): readonly Place[] {
  const columns = axes & 2 ? grid.cols : 1;
  return Array.from({ length: lengthAlong(grid, axes) }, (_, index) => [
    Math.floor(index / columns),
    index % columns,
  ]);
}

/** The number of a value that belongs to a place. */
function at({ axes, data }: Value, grid: Extents, [row, column]: Place): number {
  const before = axes & 1 ? row * (axes & 2 ? grid.cols : 1) : 0;
  return data[before + (axes & 2 ? column : 0)] as number;
}

/** Whether a reduction that leaves these axes puts a place into this group. */
const isIn = ([row, column]: Place, place: Place, axes: Axes): boolean =>
  (!(axes & 1) || row === place[0]) && (!(axes & 2) || column === place[1]);

type Matrix = readonly (readonly number[])[];

const turn = (matrix: Matrix): Matrix =>
  (matrix[0] ?? []).map((_, column) => matrix.map((row) => row[column] as number));
const multiply = (a: Matrix, b: Matrix): Matrix => {
  const columns = turn(b);
  return a.map((row) =>
    columns.map((column) => row.reduce((sum, value, k) => sum + value * (column[k] as number), 0)),
  );
};

/** A ← XXᵀ, X ← aX + (bA + cA²)X for each of the coefficients, of X or of Xᵀ, whichever has fewer rows. Row by row. */
function newtonSchulz(given: Matrix, coefficients: readonly Coefficients[]): readonly number[] {
  const tall = given.length > (given[0]?.length ?? 0);
  let x = tall ? turn(given) : given;
  for (const [a, b, c] of coefficients) {
    const gram = multiply(x, turn(x));
    const squared = multiply(gram, gram);
    const factor = gram.map((row, i) => row.map((value, j) => b * value + c * (squared[i]?.[j] as number)));
    const moved = multiply(factor, x);
    x = x.map((row, i) => row.map((value, j) => a * value + (moved[i]?.[j] as number)));
  }
  return (tall ? turn(x) : x).flat();
}
