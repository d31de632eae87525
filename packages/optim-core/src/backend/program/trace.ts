import { refuse } from "../../errors.ts";
import type { HyperparameterRecord } from "../../hyperparameters.ts";
import { everyStructure } from "../../rule/check-definition.ts";
import type { ErasedDefinition, Flags } from "../../rule/define.ts";
import {
  abs,
  type Condition,
  eq,
  Expression,
  isExpression,
  lift,
  lt,
  max,
  min,
  mul,
  neg,
  type Op,
  select,
  type Tensor,
} from "../../rule/expression.ts";
import { memo } from "../memo.ts";
import {
  type ElementNode,
  type GradientRewrite,
  operandsOf,
  type Program,
  type ScalarInstruction,
  type UniformSource,
} from "./program.ts";
import { masterSlot } from "./reserved.ts";

const cache = /* @__PURE__ */ new WeakMap<ErasedDefinition, Map<string, Program>>();

/**
 * The program of `definition` for one structure. Traced once and kept.
 *
 * @throws OptimError `invalid-rule` when the rule returns too much or too little, or nests a norm in a norm.
 */
export function traceRule(definition: ErasedDefinition, structure: Flags, rewrite: GradientRewrite): Program {
  const switches = Object.entries({ ...structure, ...rewrite })
    .filter(([, on]) => on)
    .map(([name]) => name)
    .sort();
  const label = [definition.name, ...switches].join(" ");
  const programs = memo(cache, definition, () => new Map<string, Program>());
  return memo(programs, label, () => trace(definition, structure, rewrite, label));
}

/** Names of slots. */
export interface SlotNames {
  readonly slots: ReadonlySet<string>;
  readonly scalarSlots: ReadonlySet<string>;
}

const slotsInAnyStructure = /* @__PURE__ */ new WeakMap<ErasedDefinition, SlotNames>();

/**
 * The names of the slots that a rule has in any structure; `structure` gives the names of the switches. Found once and kept: there are as many
 * structures as subsets of the switches.
 */
export function allSlots(definition: ErasedDefinition, structure: Flags): SlotNames {
  return memo(slotsInAnyStructure, definition, () => findSlots(definition, structure));
}

function findSlots(definition: ErasedDefinition, structure: Flags): SlotNames {
  const found = { slots: new Set<string>(), scalarSlots: new Set<string>() };
  for (const flags of everyStructure(Object.keys(structure))) {
    for (const slot of Object.keys(definition.slots?.(flags) ?? {})) found.slots.add(slot);
    for (const slot of Object.keys(definition.scalarSlots?.(definition.hyperparameters, flags) ?? {}))
      found.scalarSlots.add(slot);
  }
  return found;
}

/** The booleans of these hyperparameters and those that the rule derives. */
export function structureOf(definition: ErasedDefinition, hyperparameters: HyperparameterRecord): Flags {
  const booleans = Object.entries(hyperparameters).filter(
    (entry): entry is [string, boolean] => typeof entry[1] === "boolean",
  );
  return { ...Object.fromEntries(booleans), ...definition.structure?.(hyperparameters) };
}

function trace(
  definition: ErasedDefinition,
  structure: Flags,
  rewrite: GradientRewrite,
  label: string,
): Program {
  const who = `${label}: update`;
  const slots = Object.keys(definition.slots?.(structure) ?? {});
  const scalarSlots = Object.keys(definition.scalarSlots?.(definition.hyperparameters, structure) ?? {});
  const grad = rewrittenGradient(rewrite);
  const x: Record<string, Expression> = { param: leaf("param", true), grad, step: leaf("step", false) };
  for (const name of [...slots, ...scalarSlots]) {
    if (Object.hasOwn(x, name) || name === masterSlot)
      refuse("invalid-rule", who, "a slot whose name is not taken", name);
  }
  for (const name of slots) x[name] = leaf("slot", true, name);
  for (const name of scalarSlots) x[name] = leaf("scalarSlot", false, name);

  const returned = {
    ...definition.update(x, hyperparameterExpressions(definition.hyperparameters), structure),
  };
  const take = (name: string, elementwise: boolean): Expression => {
    const given = returned[name];
    delete returned[name];
    const expression = typeof given === "number" && !elementwise ? lift(given) : given;
    // A slot may become a scalar everywhere (a constant), but never the other way round.
    return isExpression(expression) && !expression.condition && (elementwise || !expression.elementwise)
      ? expression
      : refuse("invalid-rule", who, `an expression for ${name} in what it returns`, expression);
  };
  const nextParam = take("param", true);
  const nextSlots = slots.map((name) => take(name, true));
  const nextScalars = scalarSlots.map((name) => take(name, false));
  const extra = Object.keys(returned);
  if (extra.length > 0) refuse("invalid-rule", who, `only param and slots in what it returns`, extra);

  const [nodes, node] = table<ElementNode>();
  const [uniforms, uniform] = table<UniformSource>();
  const [scalars, instruction] = table<ScalarInstruction>();
  const [norms, norm] = table<number>();
  const [elements, registers] = [new Map<Expression, number>(), new Map<Expression, number>()];

  /** The node of an expression; scalars become uniforms. */
  const element = (expression: Expression): number =>
    memo(elements, expression, () => {
      const { op, args, name } = expression;
      if (op === "gradFactor" || op === "clipValue") {
        return node({ op: "uniform", uniform: uniform({ from: op }) });
      }
      if (op === "param" || op === "grad") return node({ op });
      if (op === "slot") return node({ op, slot: slots.indexOf(name) });
      if (expression.elementwise) return node(withOperands(op, args.map(element)) as ElementNode);
      if (expression.condition) {
        // A comparison of scalars that selects between tensors: a uniform of 1 or 0.
        const asNumber = erased(select(expression as unknown as Condition, 1, 0));
        return node({ op: "gt", a: element(asNumber), b: node({ op: "const", value: 0 }) });
      }
      const register = scalar(expression);
      const { op: kind, value } = scalars[register] as { readonly op: Op; readonly value: number };
      return kind === "const"
        ? node({ op: kind, value: Math.fround(value) })
        : node({ op: "uniform", uniform: uniform({ from: "scalar", register }) });
    });

  /** The register of a scalar expression. */
  const scalar = (expression: Expression): number =>
    memo(registers, expression, () => {
      const { op, args, name, value } = expression;
      if (op === "const") return instruction({ op, value, dynamic: false });
      if (op === "hyper") return instruction({ op, name, index: value, dynamic: false });
      if (op === "step") return instruction({ op, dynamic: true });
      if (op === "scalarSlot") return instruction({ op, name, dynamic: true });
      if (op === "norm") {
        const [of] = args as readonly [Expression];
        if (dependsOnNorm(of, new Set())) {
          refuse("invalid-rule", who, "norms that do not depend on a norm", label);
        }
        return instruction({ op, norm: norm(element(of)), dynamic: true });
      }
      const operands = args.map(scalar);
      const dynamic = operands.some((operand) => scalars[operand]?.dynamic);
      return instruction({ ...withOperands(op, operands), dynamic } as ScalarInstruction);
    });

  element(grad); // First, so that its uniforms are the first.
  const outputs = { param: element(nextParam), slots: nextSlots.map(element) };
  const scalarOutputs = nextScalars.map(scalar);
  const varying: boolean[] = [];
  for (const item of nodes) {
    const operands = operandsOf(item);
    varying.push(
      operands.length > 0
        ? operands.some((operand) => varying[operand])
        : item.op !== "uniform" && item.op !== "const",
    );
  }
  return { label, slots, scalarSlots, nodes, varying, outputs, uniforms, scalars, scalarOutputs, norms };
}

const erased = (expression: unknown): Expression => expression as Expression;

const leaf = (op: Op, elementwise: boolean, name = "", value = 0): Expression =>
  new Expression(op, [], elementwise, value, name);

/** The gradient that rules see, in the operations that rules are written in. */
function rewrittenGradient({ clipValue, zeroNonFinite }: GradientRewrite): Expression {
  const uniform = (op: Op): Tensor => leaf(op, true) as unknown as Tensor;
  let gradient = uniform("grad");
  if (zeroNonFinite) {
    // |g| < max or |g| = max: false for NaN and for infinity, and needs no constant that is not finite.
    const [size, largest] = [abs(gradient), 3.4028234663852886e38];
    gradient = select(lt(size, largest), gradient, select(eq(size, largest), gradient, 0));
  }
  gradient = mul(gradient, uniform("gradFactor"));
  if (clipValue) {
    const bound = uniform("clipValue");
    gradient = max(min(gradient, bound), neg(bound));
  }
  return erased(gradient);
}

function hyperparameterExpressions(
  hyperparameters: HyperparameterRecord,
): Record<string, Expression | readonly Expression[]> {
  const expressions: Record<string, Expression | readonly Expression[]> = {};
  for (const [name, value] of Object.entries(hyperparameters)) {
    if (typeof value === "number") expressions[name] = leaf("hyper", false, name, -1);
    else if (typeof value === "object")
      expressions[name] = value.map((_, index) => leaf("hyper", false, name, index));
  }
  return expressions;
}

function dependsOnNorm(expression: Expression, seen: Set<Expression>): boolean {
  if (seen.has(expression)) return false;
  seen.add(expression);
  return expression.op === "norm" || expression.args.some((arg) => dependsOnNorm(arg, seen));
}

function withOperands(op: Op, operands: readonly number[]): object {
  const [first, second, third] = operands;
  if (op === "select") return { op, condition: first, a: second, b: third };
  return operands.length === 1 ? { op, a: first } : { op, a: first, b: second };
}

/** A list that holds equal items once, and what gives an item its place in it. */
function table<T>(): readonly [list: T[], place: (item: T) => number] {
  const list: T[] = [];
  const places = new Map<string, number>();
  return [list, (item) => memo(places, JSON.stringify(item), () => list.push(item) - 1)];
}
