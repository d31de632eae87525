import { refuse } from "../../errors.ts";
import type { ErasedDefinition, Flags } from "../../rule/define.ts";
import { type Expression, isExpression } from "../../rule/expression.ts";
import { memo } from "../memo.ts";
import type { Program } from "./program.ts";
import { trainedSlot } from "./reserved.ts";
import { traceRule } from "./trace.ts";

const plain = { clipValue: false, zeroNonFinite: false } as const;
const definitions = /* @__PURE__ */ new WeakMap<ErasedDefinition, ErasedDefinition>();

/**
 * The program that puts a rule's evaluation point into the parameter, and what was there into the slot {@link trainedSlot}. It reads the
 * slots of the rule that the point needs, and leaves them as they are; the gradient it does not read. `undefined` for a rule without one.
 *
 * @throws OptimError `invalid-rule` for an evaluation point that is no tensor
 */
export function traceEvaluation(definition: ErasedDefinition, structure: Flags): Program | undefined {
  if (definition.evaluate === undefined) return undefined;
  return traceRule(
    memo(definitions, definition, () => entering(definition)),
    structure,
    plain,
  );
}

/** The program that puts back what {@link traceEvaluation} has put aside. */
export function traceReturn(): Program {
  return traceRule(returning, {}, plain);
}

const returning: ErasedDefinition = {
  name: "leave evaluation",
  hyperparameters: {},
  slots: () => ({ [trainedSlot]: 0 }),
  update: ({ [trainedSlot]: trained }) => ({ param: trained, [trainedSlot]: trained }),
};

/** Entering the evaluation point, written as a rule: what traces and compiles rules does the same with it. */
function entering(inner: ErasedDefinition): ErasedDefinition {
  const needed = (structure: Flags): ReadonlySet<string> => slotsOfPoint(inner, structure);
  return {
    name: `${inner.name} evaluation`,
    hyperparameters: inner.hyperparameters,
    slots: (structure) => ({
      ...picked(inner.slots?.(structure), needed(structure)),
      [trainedSlot]: 0,
    }),
    scalarSlots: (hyperparameters, structure) =>
      picked(inner.scalarSlots?.(hyperparameters, structure), needed(structure)),
    update(x, hyperparameters, structure) {
      const { [trainedSlot]: _trained, param, ...slots } = slotsAmong(x);
      return {
        ...slots,
        param: pointOf(inner, { param, ...slots } as Inputs, hyperparameters, structure),
        [trainedSlot]: param,
      };
    },
  };
}

type Inputs = Parameters<ErasedDefinition["update"]>[0];
type Hyperparameters = Parameters<ErasedDefinition["update"]>[1];

function pointOf(
  { name, evaluate }: ErasedDefinition,
  x: Inputs,
  hyperparameters: Hyperparameters,
  structure: Flags,
): Expression {
  const point: unknown = evaluate?.(x, hyperparameters, structure);
  return isExpression(point) && point.elementwise && !point.condition
    ? point
    : refuse("invalid-rule", `${name}: evaluate`, "a tensor", point);
}

/** The names of the slots, scalar ones too, that the point reads: found by tracing it once with all of them. */
function slotsOfPoint(inner: ErasedDefinition, structure: Flags): ReadonlySet<string> {
  const found = new Set<string>();
  const seen = new Set<Expression>();
  const visit = (expression: Expression): void => {
    if (seen.has(expression)) return;
    seen.add(expression);
    const { op, name, args, elementwise } = expression;
    if (!elementwise && args.some((arg) => arg.elementwise)) {
      refuse("invalid-rule", `${inner.name}: evaluate`, "operations element by element", op);
    }
    if (op === "slot" || op === "scalarSlot") found.add(name);
    args.forEach(visit);
  };
  const probe: ErasedDefinition = {
    ...inner,
    update(x, hyperparameters, flags) {
      const slots = slotsAmong(x);
      visit(pointOf(inner, slots, hyperparameters, flags));
      const { param: _param, ...kept } = slots;
      return { ...kept, param: x["param"] };
    },
  };
  traceRule(probe, structure, plain);
  return found;
}

/** The parameter and its slots, without what else an update reads. */
function slotsAmong(x: Inputs): Inputs {
  const { grad: _grad, step: _step, size: _size, rows: _rows, cols: _cols, ...slots } = x;
  return slots;
}

function picked<T>(
  all: { readonly [name: string]: T } | undefined,
  names: ReadonlySet<string>,
): { [name: string]: T } {
  return Object.fromEntries(Object.entries(all ?? {}).filter(([name]) => names.has(name)));
}
