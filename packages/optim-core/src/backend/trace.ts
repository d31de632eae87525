import { OptimError } from "../errors.ts";
import type { HyperparameterRecord } from "../hyperparameters.ts";
import type { ErasedDefinition, Flags } from "../rule/define.ts";
import { Expression, type Op } from "../rule/expression.ts";
import { memo } from "./memo.ts";

/** Operations of the elementwise part, by number of operands. */
export type UnaryOp = "neg" | "sqrt" | "abs" | "sign";
export type BinaryOp = "add" | "sub" | "mul" | "div" | "min" | "max";
export type ComparisonOp = "gt" | "lt" | "eq";

/**
 * One value of the elementwise part. Operands are positions in `Program.nodes`, always smaller than the node's own.
 */
export type ElementNode =
  | { readonly op: "param" }
  | { readonly op: "grad" }
  | { readonly op: "slot"; readonly slot: number }
  | { readonly op: "uniform"; readonly uniform: number }
  | { readonly op: "const"; readonly value: number }
  | { readonly op: UnaryOp; readonly a: number }
  | { readonly op: BinaryOp | ComparisonOp; readonly a: number; readonly b: number }
  | { readonly op: "select"; readonly condition: number; readonly a: number; readonly b: number };

/**
 * One instruction of the scalar part: float64 arithmetic on registers, in order; an operand is the position of an earlier
 * instruction. `dynamic` marks what depends on the step count, a scalar slot or a norm; the rest depends on hyperparameters alone,
 * and a backend that decides on its device still gets it from the host.
 */
export type ScalarInstruction = { readonly dynamic: boolean } & (
  | { readonly op: "const"; readonly value: number }
  | { readonly op: "hyper"; readonly name: string; readonly index: number }
  | { readonly op: "step" }
  | { readonly op: "scalarSlot"; readonly name: string }
  | { readonly op: "norm"; readonly norm: number }
  | { readonly op: UnaryOp | "exp" | "log"; readonly a: number }
  | {
      readonly op: BinaryOp | ComparisonOp | "pow" | "biasCorrection";
      readonly a: number;
      readonly b: number;
    }
  | { readonly op: "select"; readonly condition: number; readonly a: number; readonly b: number }
);

/** Where a uniform, a float32 that is the same for the whole tensor, comes from. */
export type UniformSource =
  /** rescale ÷ loss scale × clip coefficient: what the raw accumulator is multiplied by. Always uniform 0. */
  | { readonly from: "gradFactor" }
  /** The bound of clipping by value. Uniform 1 of programs that clip by value. */
  | { readonly from: "clipValue" }
  /** A register of the scalar part. */
  | { readonly from: "scalar"; readonly register: number };

/** How the gradient leaf is rewritten, the same on every backend. */
export interface GradientRewrite {
  /** Clamp the unscaled gradient to ±clipValue. */
  readonly clipValue: boolean;
  /** Replace elements of the raw gradient that are not finite with 0. */
  readonly zeroNonFinite: boolean;
}

/**
 * A rule, traced for one structure: what a backend compiles. Plain data; equal structures of one rule give the same object, so that
 * it can key a cache of kernels.
 */
export interface Program {
  /** The rule's name and structure, for labels and logs. */
  readonly label: string;
  /** Slots that the kernel reads and writes, in the order of its bindings. */
  readonly slots: readonly string[];
  readonly scalarSlots: readonly string[];
  readonly nodes: readonly ElementNode[];
  /** Whether a node differs from element to element; the others are the same for the whole tensor and can be hoisted. */
  readonly varying: readonly boolean[];
  /** Node of the next parameter, and of the next value of each slot. */
  readonly outputs: { readonly param: number; readonly slots: readonly number[] };
  readonly uniforms: readonly UniformSource[];
  readonly scalars: readonly ScalarInstruction[];
  /** Register with the next value of each scalar slot. */
  readonly scalarOutputs: readonly number[];
  /**
   * Nodes whose Euclidean norm over the tensor the scalar part reads, by norm number. A first pass evaluates `nodes` as far as these
   * need and reduces them. Uniforms needed by that pass do not depend on a norm.
   */
  readonly norms: readonly number[];
}

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

/** The names of the slots that a rule has in any structure; `structure` gives the names of the switches. */
export function allSlots(
  definition: ErasedDefinition,
  structure: Flags,
): { slots: Set<string>; scalarSlots: Set<string> } {
  const names = Object.keys(structure);
  const found = { slots: new Set<string>(), scalarSlots: new Set<string>() };
  for (let bits = 0; bits < 1 << names.length; bits += 1) {
    const flags = Object.fromEntries(names.map((name, index) => [name, (bits & (1 << index)) !== 0]));
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
  const slots = Object.keys(definition.slots?.(structure) ?? {});
  const scalarSlots = Object.keys(definition.scalarSlots?.(definition.hyperparameters, structure) ?? {});
  for (const name of [...slots, ...scalarSlots]) {
    if (name === "param" || name === "grad" || name === "step" || name === "master") {
      throw new OptimError("invalid-rule", `${label}: slots`, {
        expected: "a name that is not taken",
        received: name,
      });
    }
  }
  const x: Record<string, Expression> = {
    param: new Expression("param", [], true),
    grad: new Expression("grad", [], true),
    step: new Expression("step", [], false),
  };
  for (const name of slots) x[name] = new Expression("slot", [], true, 0, name);
  for (const name of scalarSlots) x[name] = new Expression("scalarSlot", [], false, 0, name);

  const result = definition.update(x, hyperparameterExpressions(definition.hyperparameters), structure);
  const returned = { ...result };
  const take = (name: string, elementwise: boolean): Expression => {
    const expression = returned[name];
    delete returned[name];
    // A slot may become a scalar everywhere (a constant), but never the other way round.
    if (expression instanceof Expression && !expression.condition && (elementwise || !expression.elementwise))
      return expression;
    throw new OptimError("invalid-rule", `${label}: update`, {
      expected: `an expression for ${name} in what it returns`,
      received: expression,
    });
  };
  const nextParam = take("param", true);
  const nextSlots = slots.map((name) => take(name, true));
  const nextScalars = scalarSlots.map((name) => take(name, false));
  const extra = Object.keys(returned);
  if (extra.length > 0) {
    throw new OptimError("invalid-rule", `${label}: update`, {
      expected: `only param and the slots ${[...slots, ...scalarSlots].join(", ") || "(none)"}`,
      received: extra,
    });
  }

  const builder = new Builder(slots, rewrite, label);
  const outputs = {
    param: builder.element(nextParam),
    slots: nextSlots.map((slot) => builder.element(slot)),
  };
  const scalarOutputs = nextScalars.map((slot) => builder.scalar(slot));
  return {
    label,
    slots,
    scalarSlots,
    nodes: builder.nodes,
    varying: varyingNodes(builder.nodes),
    outputs,
    uniforms: builder.uniforms,
    scalars: builder.scalars,
    scalarOutputs,
    norms: builder.norms,
  };
}

function hyperparameterExpressions(
  hyperparameters: HyperparameterRecord,
): Record<string, Expression | readonly Expression[]> {
  const expressions: Record<string, Expression | readonly Expression[]> = {};
  for (const [name, value] of Object.entries(hyperparameters)) {
    if (typeof value === "number") expressions[name] = new Expression("hyper", [], false, -1, name);
    else if (typeof value === "object")
      expressions[name] = value.map((_, index) => new Expression("hyper", [], false, index, name));
  }
  return expressions;
}

/** Lowers expressions to the two lists, sharing equal sub-expressions. */
class Builder {
  readonly nodes: ElementNode[] = [];
  readonly scalars: ScalarInstruction[] = [];
  readonly uniforms: UniformSource[] = [];
  readonly norms: number[] = [];
  readonly #slots: readonly string[];
  readonly #label: string;
  readonly #elements = new Map<Expression, number>();
  readonly #registers = new Map<Expression, number>();
  readonly #nodeKeys = new Map<string, number>();
  readonly #scalarKeys = new Map<string, number>();
  readonly #gradient: number;

  constructor(slots: readonly string[], rewrite: GradientRewrite, label: string) {
    this.#slots = slots;
    this.#label = label;
    this.#gradient = this.#rewriteGradient(rewrite);
  }

  #rewriteGradient({ clipValue, zeroNonFinite }: GradientRewrite): number {
    let gradient = this.#node({ op: "grad" });
    if (zeroNonFinite) {
      // |g| < max or |g| = max: false for NaN and for infinity, and needs no constant that is not finite.
      const largest = this.#node({ op: "const", value: 3.4028234663852886e38 });
      const zero = this.#node({ op: "const", value: 0 });
      const size = this.#node({ op: "abs", a: gradient });
      const edge = this.#node({
        op: "select",
        condition: this.#node({ op: "eq", a: size, b: largest }),
        a: gradient,
        b: zero,
      });
      gradient = this.#node({
        op: "select",
        condition: this.#node({ op: "lt", a: size, b: largest }),
        a: gradient,
        b: edge,
      });
    }
    gradient = this.#node({ op: "mul", a: gradient, b: this.#uniform({ from: "gradFactor" }) });
    if (clipValue) {
      const bound = this.#uniform({ from: "clipValue" });
      gradient = this.#node({ op: "min", a: gradient, b: bound });
      gradient = this.#node({ op: "max", a: gradient, b: this.#node({ op: "neg", a: bound }) });
    }
    return gradient;
  }

  element(expression: Expression): number {
    return memo(this.#elements, expression, () => this.#element(expression));
  }

  #element(expression: Expression): number {
    const { op, args, name } = expression;
    if (!expression.elementwise) {
      const register = this.scalar(expression);
      const instruction = this.scalars[register];
      if (instruction?.op === "const")
        return this.#node({ op: "const", value: Math.fround(instruction.value) });
      return this.#uniform({ from: "scalar", register });
    }
    if (op === "grad") return this.#gradient;
    if (op === "param") return this.#node({ op });
    if (op === "slot") return this.#node({ op, slot: this.#slots.indexOf(name) });
    const operands = args.map((arg) =>
      arg.condition && !arg.elementwise ? this.#scalarCondition(arg) : this.element(arg),
    );
    return this.#node(withOperands(op, operands) as ElementNode);
  }

  /** A comparison of scalars that selects between tensors: as a uniform of 1 or 0. */
  #scalarCondition(condition: Expression): number {
    const zero = new Expression("const", [], false, 0);
    const asNumber = new Expression(
      "select",
      [condition, new Expression("const", [], false, 1), zero],
      false,
    );
    return this.#node({ op: "gt", a: this.element(asNumber), b: this.element(zero) });
  }

  scalar(expression: Expression): number {
    return memo(this.#registers, expression, () => this.#scalar(expression));
  }

  #scalar(expression: Expression): number {
    const { op, args, name, value } = expression;
    if (op === "const") return this.#instruction({ op, value, dynamic: false });
    if (op === "hyper") return this.#instruction({ op, name, index: value, dynamic: false });
    if (op === "step") return this.#instruction({ op, dynamic: true });
    if (op === "scalarSlot") return this.#instruction({ op, name, dynamic: true });
    if (op === "norm") return this.#norm(args[0] as Expression);
    const operands = args.map((arg) => this.scalar(arg));
    const dynamic = operands.some((operand) => this.scalars[operand]?.dynamic === true);
    return this.#instruction({ ...withOperands(op, operands), dynamic } as ScalarInstruction);
  }

  #norm(of: Expression): number {
    if (dependsOnNorm(of, new Set())) {
      throw new OptimError("invalid-rule", `${this.#label}: norm`, {
        expected: "norms that do not depend on a norm",
      });
    }
    const node = this.element(of);
    let index = this.norms.indexOf(node);
    if (index < 0) index = this.norms.push(node) - 1;
    return this.#instruction({ op: "norm", norm: index, dynamic: true });
  }

  #uniform(source: UniformSource): number {
    const key = JSON.stringify(source);
    let index = this.uniforms.findIndex((known) => JSON.stringify(known) === key);
    if (index < 0) index = this.uniforms.push(source) - 1;
    return this.#node({ op: "uniform", uniform: index });
  }

  #node(node: ElementNode): number {
    return shared(this.nodes, this.#nodeKeys, node);
  }

  #instruction(instruction: ScalarInstruction): number {
    return shared(this.scalars, this.#scalarKeys, instruction);
  }
}

// Asks the expression, not the builder, which would not lower again what it has lowered before.
function dependsOnNorm(expression: Expression, seen: Set<Expression>): boolean {
  if (seen.has(expression)) return false;
  seen.add(expression);
  return expression.op === "norm" || expression.args.some((arg) => dependsOnNorm(arg, seen));
}

function varyingNodes(nodes: readonly ElementNode[]): boolean[] {
  const varying: boolean[] = [];
  for (const node of nodes) {
    if (node.op === "param" || node.op === "grad" || node.op === "slot") varying.push(true);
    else if (node.op === "uniform" || node.op === "const") varying.push(false);
    else varying.push(operandsOf(node).some((operand) => varying[operand] === true));
  }
  return varying;
}

/** The operands of a node, as positions. */
export function operandsOf(node: ElementNode): readonly number[] {
  if ("condition" in node) return [node.condition, node.a, node.b];
  if ("b" in node) return [node.a, node.b];
  return "a" in node ? [node.a] : [];
}

function withOperands(op: Op, operands: readonly number[]): object {
  const [first, second, third] = operands;
  if (op === "select") return { op, condition: first, a: second, b: third };
  return operands.length === 1 ? { op, a: first } : { op, a: first, b: second };
}

function shared<T>(list: T[], keys: Map<string, number>, item: T): number {
  return memo(keys, JSON.stringify(item), () => list.push(item) - 1);
}
