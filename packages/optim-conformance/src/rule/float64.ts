import type { HyperparameterRecord } from "@mm/optim-core";
import { refuse, structureOf } from "@mm/optim-core/backend";
import { type ErasedDefinition, Expression } from "@mm/optim-core/rule";

/** A parameter of a model, with all that a rule keeps of it, in float64. */
export interface Modelled {
  values: readonly number[];
  /** Steps taken. */
  step: number;
  slots: { readonly [slot: string]: readonly number[] };
  scalarSlots: { readonly [slot: string]: number };
}

/** One number for the whole tensor, or one for each element. A condition is 1 or 0. */
type Value = number | readonly number[];

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

/** A parameter that took no step yet. */
export function modelled(values: ArrayLike<number>): Modelled {
  return { values: Array.from(values), step: 0, slots: {}, scalarSlots: {} };
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
      const { grad: _grad, step: _step, ...given } = x;
      return { ...given, param: definition.evaluate?.(given, h, structure) };
    },
  };
  return stepInFloat64(moving, hyperparameters, parameter, parameter.values).values;
}

/**
 * One step of a rule in float64. Follows the expressions that `update` returns and nothing else: no trace, no lowering and no kernel has a
 * part in it. A slot that this structure has and the last one had not begins with its initial value.
 */
export function stepInFloat64(
  definition: ErasedDefinition,
  hyperparameters: HyperparameterRecord,
  before: Modelled,
  gradient: ArrayLike<number>,
): Modelled {
  if (definition.shapes !== undefined) refuseShapes(definition.name);
  const structure = structureOf(definition, hyperparameters);
  const step = before.step + 1;
  const given = new Map<Expression, Value>();
  const leaf = (value: Value): Expression => {
    const isScalar = typeof value === "number";
    const expression = new Expression(isScalar ? "step" : "param", [], isScalar ? 0 : 3);
    given.set(expression, value);
    return expression;
  };

  const slots = Object.entries(definition.slots?.(structure) ?? {}).map(([name, initial]) => {
    if (typeof initial === "object") refuseShapes(definition.name);
    const first = typeof initial === "function" ? initial(hyperparameters) : initial;
    const begins = before.values.map((value) => (first === "param" ? value : first));
    return [name, before.slots[name] ?? begins] as const;
  });
  const scalarSlots = Object.entries(definition.scalarSlots?.(hyperparameters, structure) ?? {}).map(
    ([name, declared]) => {
      const initial = typeof declared === "object" ? refuseTotals(definition.name) : declared;
      return [name, before.scalarSlots[name] ?? initial] as const;
    },
  );
  const x: Record<string, Expression> = {
    param: leaf(before.values),
    grad: leaf(Array.from(gradient)),
    step: leaf(step),
  };
  for (const [name, value] of [...slots, ...scalarSlots]) x[name] = leaf(value);
  const h: Record<string, Expression | readonly Expression[]> = {};
  for (const [name, value] of Object.entries(hyperparameters)) {
    if (typeof value === "number") h[name] = leaf(value);
    else if (typeof value === "object") h[name] = value.map(leaf);
  }

  const known = new Map<Expression, Value>(given);
  const evaluate = (expression: Expression): Value => {
    let value = known.get(expression);
    if (value === undefined) known.set(expression, (value = compute(expression)));
    return value;
  };
  const compute = ({ op, args, value }: Expression): Value => {
    if (op === "const") return value;
    const operands = args.map(evaluate);
    if (op === "total") refuseTotals(definition.name);
    if (op === "norm") return Math.hypot(...(operands[0] as readonly number[]));
    const meaning = meanings[op] as (typeof meanings)[string];
    if (operands.every((operand) => typeof operand === "number")) return meaning(...operands);
    return before.values.map((_, index) =>
      meaning(
        ...operands.map((operand) => (typeof operand === "number" ? operand : (operand[index] as number))),
      ),
    );
  };

  const returned = definition.update(x, h, structure);
  const next = (name: string): Value => {
    const expression = returned[name];
    return typeof expression === "number" ? expression : evaluate(expression as Expression);
  };
  const spread = (name: string): readonly number[] => {
    const value = next(name);
    return typeof value === "number" ? before.values.map(() => value) : value;
  };
  return {
    values: spread("param"),
    step,
    slots: { ...before.slots, ...Object.fromEntries(slots.map(([name]) => [name, spread(name)])) },
    scalarSlots: {
      ...before.scalarSlots,
      ...Object.fromEntries(scalarSlots.map(([name]) => [name, next(name) as number])),
    },
  };
}

/** This model is of one tensor. */
function refuseTotals(name: string): never {
  return refuse("unsupported", `testRule: ${name}`, "a rule without sums over all tensors", name, {
    hint: "Give the rule a float64 evaluation of its own",
  });
}

/** This model is of elements, which it does not arrange. */
function refuseShapes(name: string): never {
  return refuse("unsupported", `testRule: ${name}`, "a rule without shapes", name, {
    hint: "Give the rule a float64 evaluation of its own",
  });
}
