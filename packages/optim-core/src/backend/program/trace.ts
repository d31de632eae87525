import { isOptimError, OptimError, refuse } from "../../errors.ts";
import type { HyperparameterRecord } from "../../hyperparameters.ts";
import { everyStructure } from "../../rule/check-definition.ts";
import type { ErasedDefinition, Flags } from "../../rule/define.ts";
import {
  abs,
  add,
  type Axes,
  type Condition,
  div,
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
  type Per,
  select,
  sqrt,
  type Tensor,
} from "../../rule/expression.ts";
import type { SlotDtype } from "../../options.ts";
import type { SharedSlot } from "../../rule/slots.ts";
import { memo } from "../memo.ts";
import { inMemory, isPartial, type MatrixView, perInMemory } from "./extents.ts";
import { layOutPasses } from "./passes.ts";
import {
  type ElementNode,
  type GradientRewrite,
  type MatrixRoutine,
  operandsOf,
  type Program,
  type ScalarInstruction,
  type TensorReduction,
  type UniformSource,
} from "./program.ts";
import { masterSlot } from "./reserved.ts";

const cache = /* @__PURE__ */ new WeakMap<ErasedDefinition, Map<string, Program>>();

/**
 * The program of `definition` for one structure. Traced once and kept.
 *
 * @param transposed whether the rule's rows are the columns of memory
 * @throws OptimError `invalid-rule` when the rule returns too much or too little
 */
export function traceRule(
  definition: ErasedDefinition,
  structure: Flags,
  rewrite: GradientRewrite,
  transposed = false,
): Program {
  const switches = Object.entries({ ...structure, ...rewrite, transposed })
    .filter(([, on]) => on !== false)
    .map(([name, on]) => (on === true ? name : `${name} ${on}`))
    .sort();
  const label = [definition.name, ...switches].join(" ");
  const programs = memo(cache, definition, () => new Map<string, Program>());
  return memo(programs, label, () => trace(definition, structure, rewrite, transposed, label));
}

/** Names of slots. */
export interface SlotNames {
  readonly slots: ReadonlySet<string>;
  readonly scalarSlots: ReadonlySet<string>;
  /** Those among `scalarSlots` that are one number for all tensors of the rule. */
  readonly shared: ReadonlySet<string>;
  /** Keeps those. */
  readonly sharing: SharedSlot["shared"] | undefined;
  /** The axes of slots, as the rule sees them. */
  readonly axes: ReadonlyMap<string, Axes>;
  /** Those among `slots` that hold bfloat16, two in the place of each float32. */
  readonly packed: ReadonlySet<string>;
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
  const axes = new Map<string, Axes>();
  let sharing: SharedSlot["shared"] | undefined;
  const found = {
    slots: new Set<string>(),
    scalarSlots: new Set<string>(),
    shared: new Set<string>(),
    packed: new Set<string>(),
    axes,
  };
  const switches = Object.keys(structure);
  for (const flags of everyStructure(definition.shapes === undefined ? switches : [...switches, "matrix"])) {
    for (const [slot, declared] of Object.entries(definition.slots?.(flags) ?? {})) {
      found.slots.add(slot);
      axes.set(slot, axesOf(declared));
      if (isNarrow(declared)) found.packed.add(slot);
    }
    const scalars = definition.scalarSlots?.(definition.hyperparameters, flags) ?? {};
    for (const [slot, declared] of Object.entries(scalars)) {
      found.scalarSlots.add(slot);
      if (typeof declared === "object") {
        found.shared.add(slot);
        sharing = declared.shared;
      }
    }
  }
  return { ...found, sharing };
}

/**
 * The booleans of these hyperparameters and those that the rule derives.
 *
 * @param view of a tensor: of a rule that asks for shapes, it says `matrix`
 */
export function structureOf(
  definition: ErasedDefinition,
  hyperparameters: HyperparameterRecord,
  view?: Pick<MatrixView, "matrix">,
): Flags {
  const booleans = Object.entries(hyperparameters).filter(
    (entry): entry is [string, boolean] => typeof entry[1] === "boolean",
  );
  return {
    ...Object.fromEntries(booleans),
    ...definition.structure?.(hyperparameters),
    ...(definition.shapes !== undefined && view !== undefined && { matrix: view.matrix }),
  };
}

/** Operations do not know whose update they are in. */
function withName<T>(label: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!isOptimError(error) || error.code !== "invalid-rule") throw error;
    throw new OptimError(error.code, `${label}: ${error.message}`, { cause: error });
  }
}

function trace(
  definition: ErasedDefinition,
  structure: Flags,
  rewrite: GradientRewrite,
  transposed: boolean,
  label: string,
): Program {
  const who = `${label}: update`;
  const declared = definition.slots?.(structure) ?? {};
  const slots = Object.keys(declared);
  const axesOfSlots = slots.map((slot) => axesOf(declared[slot]));
  const declaredScalars = definition.scalarSlots?.(definition.hyperparameters, structure) ?? {};
  const scalarSlots = Object.keys(declaredScalars);
  const grad = rewrittenGradient(rewrite);
  const x: Record<string, Expression> = { param: leaf("param", 3), grad, step: leaf("step", 0) };
  for (const name of [...slots, ...scalarSlots]) {
    if (Object.hasOwn(x, name) || extentNames.includes(name as Op) || name === masterSlot)
      refuse("invalid-rule", who, "a slot whose name is not taken", name);
  }
  for (const name of extentNames) x[name] = leaf(name, 0);
  for (const [index, name] of slots.entries()) x[name] = leaf("slot", axesOfSlots[index] as Axes, name);
  for (const name of scalarSlots) x[name] = leaf("scalarSlot", 0, name);

  const hyperparameters = hyperparameterExpressions(definition.hyperparameters);
  const returned = { ...withName(label, () => definition.update(x, hyperparameters, structure)) };
  const take = (name: string, axes: Axes): Expression => {
    const given = returned[name];
    delete returned[name];
    const expression = typeof given === "number" && axes !== 3 ? lift(given) : given;
    // A slot may become what is the same everywhere (a constant), but never the other way round.
    return isExpression(expression) && !expression.condition && (expression.axes & ~axes) === 0
      ? expression
      : refuse("invalid-rule", who, `an expression for ${name} in what it returns`, expression);
  };
  const nextParam = take("param", 3);
  const nextSlots = slots.map((name, index) => take(name, axesOfSlots[index] as Axes));
  const nextScalars = scalarSlots.map((name) => take(name, 0));
  for (const [index, name] of scalarSlots.entries()) {
    const declared = declaredScalars[name];
    if (typeof declared !== "object") continue;
    const own = declared.shared.ofOneTensor(
      nextScalars[index] as Expression,
      (slot) => typeof declaredScalars[slot] === "object",
    );
    const expected = `a next value of the shared slot ${name} without what one tensor has alone: use its total(…)`;
    if (own !== undefined) refuse("invalid-rule", who, expected, own);
  }
  const extra = Object.keys(returned);
  if (extra.length > 0) refuse("invalid-rule", who, `only param and slots in what it returns`, extra);
  const everything = [nextParam, ...nextSlots, ...nextScalars];
  if (
    definition.shapes === undefined &&
    everything.some((expression) => asksForShape(expression, new Set([grad])))
  ) {
    const expected =
      'shapes: "matrix" or "either" in the definition of a rule that uses rows, columns or orthogonalize';
    refuse("invalid-rule", who, expected, definition.shapes);
  }

  const [nodes, node] = table<ElementNode>();
  const [uniforms, uniform] = table<UniformSource>();
  const [scalars, instruction] = table<ScalarInstruction>();
  const [reductions, reduction] = table<TensorReduction>();
  const [matrices, matrix] = table<MatrixRoutine>();
  const [elements, registers] = [new Map<Expression, number>(), new Map<Expression, number>()];

  const reduced = ({ op, args, name }: Expression): number => {
    const [a = 0, b = a] = args.map(element);
    return reduction({
      kind: op as TensorReduction["kind"],
      a,
      b,
      per: perInMemory(name as Per, transposed),
    });
  };

  /** The node of an expression; scalars become uniforms. */
  const element = (expression: Expression): number =>
    memo(elements, expression, () => {
      const { op, args, name, coefficients } = expression;
      if (op === "gradFactor" || op === "clipValue") {
        return node({ op: "uniform", uniform: uniform({ from: op }) });
      }
      if (op === "param" || op === "grad") return node({ op });
      if (op === "slot") return node({ op, slot: slots.indexOf(name) });
      if (op === "newtonSchulz") {
        return node({ op: "matrix", matrix: matrix({ of: element(args[0] as Expression), coefficients }) });
      }
      if (expression.elementwise && isReduction(op))
        return node({ op: "reduced", reduction: reduced(expression) });
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
      if (op === "size" || op === "rows" || op === "cols") return instruction({ op, dynamic: false });
      if (isReduction(op))
        return instruction({ op: "reduced", reduction: reduced(expression), dynamic: true });
      const operands = args.map(scalar);
      if (op === "total") return instruction({ op, a: operands[0] as number, dynamic: true });
      const dynamic = operands.some((operand) => scalars[operand]?.dynamic);
      return instruction({ ...withOperands(op, operands), dynamic } as ScalarInstruction);
    });

  element(grad); // First, so that its uniforms are the first.
  const outputs = { param: element(nextParam), slots: nextSlots.map(element) };
  const scalarOutputs = nextScalars.map(scalar);
  const slotAxes = axesOfSlots.map((axes) => inMemory(axes, transposed));
  const axes: Axes[] = [];
  for (const item of nodes) axes.push(axesOfNode(item, axes, slotAxes, reductions));
  const narrow = slots.map((slot) => isNarrow(declared[slot]));
  const slotDtypes = narrow.map((is): SlotDtype => (is ? "bfloat16" : "float32"));
  const parts = {
    slots,
    slotAxes,
    ...(narrow.includes(true) && { slotDtypes }),
    nodes,
    axes,
    outputs,
    uniforms,
    scalars,
    reductions,
    matrices,
  };
  return { label, scalarSlots, scalarOutputs, ...parts, passes: layOutPasses(parts) };
}

const extentNames: readonly Op[] = ["size", "rows", "cols"];

function axesOfNode(
  node: ElementNode,
  axes: readonly Axes[],
  slotAxes: readonly Axes[],
  reductions: readonly TensorReduction[],
): Axes {
  switch (node.op) {
    case "param":
    case "grad":
    case "matrix":
      return 3;
    case "slot":
      return slotAxes[node.slot] as Axes;
    case "reduced":
      return reductions[node.reduction]?.per === "row" ? 1 : 2;
    default:
      return operandsOf(node).reduce<number>((all, operand) => all | (axes[operand] as Axes), 0) as Axes;
  }
}

const isReduction = (op: Op): boolean => op === "norm" || op === "sum" || op === "dot" || op === "largest";

/** Whether an expression means something for matrices alone. */
function asksForShape(expression: Expression, seen: Set<Expression>): boolean {
  if (seen.has(expression)) return false;
  seen.add(expression);
  const { op, axes, args } = expression;
  if (isPartial(axes) || op === "rows" || op === "cols" || op === "newtonSchulz") return true;
  return args.some((arg) => asksForShape(arg, seen));
}

/** The axes of a slot, as it is declared. */
function axesOf(declared: unknown): Axes {
  const { per } = Object(declared) as { readonly per?: unknown };
  return per === "row" ? 1 : per === "column" ? 2 : 3;
}

/** Whether a slot was declared to hold bfloat16. */
const isNarrow = (declared: unknown): boolean =>
  (Object(declared) as { readonly dtype?: unknown }).dtype === "bfloat16";

const erased = (expression: unknown): Expression => expression as Expression;

const leaf = (op: Op, axes: Axes, name = "", value = 0): Expression =>
  new Expression(op, [], axes, { name, value });

/** The gradient that rules see, in the operations that rules are written in. */
function rewrittenGradient({
  clipValue,
  zeroNonFinite,
  clipNorm,
  clipUnits,
  unitRows,
}: GradientRewrite): Expression {
  const uniform = (op: Op): Tensor => leaf(op, 3) as unknown as Tensor;
  let gradient = uniform("grad");
  if (zeroNonFinite) {
    // |g| < max or |g| = max: false for NaN and for infinity, and needs no constant that is not finite.
    const [size, most] = [abs(gradient), 3.4028234663852886e38];
    gradient = select(lt(size, most), gradient, select(eq(size, most), gradient, 0));
  }
  gradient = mul(gradient, uniform("gradFactor"));
  const bound = uniform("clipValue");
  if (clipNorm !== undefined) {
    const size = reduce(
      clipNorm === 2 ? "norm" : clipNorm === 1 ? "sum" : "largest",
      clipNorm === 1 ? abs(gradient) : gradient,
    );
    gradient = mul(gradient, min(1, div(bound, add(size, 1e-6))));
  }
  if (clipUnits !== undefined) {
    const unit = (x: Tensor): Tensor =>
      unitRows === true ? sqrt(reduce("dot", x, "row")) : reduce("norm", x);
    const size = unit(gradient);
    const most = mul(max(unit(leaf("param", 3) as unknown as Tensor), clipUnits), bound);
    gradient = select(lt(size, most), gradient, mul(gradient, div(most, max(size, 1e-6))));
  }
  if (clipValue) {
    gradient = max(min(gradient, bound), neg(bound));
  }
  return erased(gradient);
}

/** A reduction that needs no check. */
const reduce = (op: Op, x: Tensor, per: Per = "tensor"): Tensor =>
  new Expression(op, op === "dot" ? [erased(x), erased(x)] : [erased(x)], per === "row" ? 1 : 0, {
    name: per,
  }) as unknown as Tensor;

function hyperparameterExpressions(
  hyperparameters: HyperparameterRecord,
): Record<string, Expression | readonly Expression[]> {
  const expressions: Record<string, Expression | readonly Expression[]> = {};
  for (const [name, value] of Object.entries(hyperparameters)) {
    if (typeof value === "number") expressions[name] = leaf("hyper", 0, name, -1);
    else if (typeof value === "object")
      expressions[name] = value.map((_, index) => leaf("hyper", 0, name, index));
  }
  return expressions;
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
