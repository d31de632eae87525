import type { SlotDtype } from "../../options.ts";
import type { Axes, Coefficients, Per } from "../../rule/expression.ts";
import { memo } from "../memo.ts";
import { isPartial } from "./extents.ts";

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
  /** The result of a reduction per row or per column. */
  | { readonly op: "reduced"; readonly reduction: number }
  /** The result of a matrix routine. */
  | { readonly op: "matrix"; readonly matrix: number }
  | { readonly op: "uniform"; readonly uniform: number }
  | { readonly op: "const"; readonly value: number }
  | { readonly op: UnaryOp; readonly a: number }
  | { readonly op: BinaryOp | ComparisonOp; readonly a: number; readonly b: number }
  | { readonly op: "select"; readonly condition: number; readonly a: number; readonly b: number };

/**
 * One instruction of the scalar part: float64 arithmetic on registers, in order; an operand is the position of an earlier
 * instruction. `dynamic` marks what depends on the step count, a scalar slot, a reduction or a total; the rest depends on hyperparameters and
 * the shape alone, and a backend that decides on its device still gets it from the host.
 */
export type ScalarInstruction = { readonly dynamic: boolean } & (
  | { readonly op: "const"; readonly value: number }
  | { readonly op: "hyper"; readonly name: string; readonly index: number }
  | { readonly op: "step" }
  | { readonly op: "scalarSlot"; readonly name: string }
  /** Of a reduction per tensor. */
  | { readonly op: "reduced"; readonly reduction: number }
  /** Of the parameter, as a rule sees it. */
  | { readonly op: "size" | "rows" | "cols" }
  /** The sum of a register over all tensors that step by this rule. */
  | { readonly op: "total"; readonly a: number }
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
  /** The bound of clipping in a program, by value, by tensor or by unit. Uniform 1 of programs that clip. */
  | { readonly from: "clipValue" }
  /** A register of the scalar part. */
  | { readonly from: "scalar"; readonly register: number };

/** How the gradient leaf is rewritten, the same on every backend. */
export interface GradientRewrite {
  /** Clamp the unscaled gradient to ±clipValue. */
  readonly clipValue: boolean;
  /** Replace elements of the raw gradient that are not finite with 0. */
  readonly zeroNonFinite: boolean;
  /** p: multiply the gradient of a tensor by min(1, clipValue ÷ (its p-norm + 1e-6)). */
  readonly clipNorm?: number;
  /** ε: shorten the gradient of each unit of a tensor to clipValue · max(‖w‖, ε). */
  readonly clipUnits?: number;
  /** Whether a unit is a row, of a matrix. Else it is the whole tensor. */
  readonly unitRows?: boolean;
}

/**
 * One number for a whole tensor, a row or a column: √Σa², Σa, Σab or max |a|. On hosts terms are exact in float64 and element i goes into
 * partial i mod 4, (0 + 1) + (2 + 3) at the end: i counts on over the rows where there is one number per tensor, and begins anew with each row
 * where there is one per row. Per column, rows are added in ascending order. Results per row or per column are rounded to float32 once.
 */
export interface TensorReduction {
  readonly kind: "norm" | "sum" | "dot" | "largest";
  readonly a: number;
  /** The same as `a`, except for `dot`. */
  readonly b: number;
  readonly per: Per;
}

/** Newton–Schulz steps on the tensor that is node `of`, which is normalized: see `orthogonalize` of the rule language. */
export interface MatrixRoutine {
  readonly of: number;
  readonly coefficients: readonly Coefficients[];
}

/** A node that is written back to a vector. */
export interface Store {
  readonly node: number;
  readonly vector: number;
}

/** A pass over elements: over all of a tensor (axes 3), or over what is one per row (1) or per column (2). */
export type ElementPass =
  | { readonly kind: "reduce"; readonly axes: Axes; readonly reductions: readonly number[] }
  | { readonly kind: "update"; readonly axes: Axes; readonly stores: readonly Store[] };

/**
 * The work of a step on a tensor, in order. All passes of updates are the last ones: the passes before them read the old parameter and slots,
 * so that a step that is skipped or that throws has changed nothing.
 */
export type Pass =
  | ElementPass
  /** Makes node `of` of a matrix routine, and runs it. */
  | { readonly kind: "matrix"; readonly matrix: number }
  /** Adds up registers over all tensors of the rule: a barrier. */
  | { readonly kind: "total"; readonly registers: readonly number[] };

/**
 * A rule, traced for one structure: what a backend compiles. Plain data; equal structures of one rule give the same object, so that
 * it can key a cache of kernels.
 *
 * Vectors are numbered: 0 the parameter, 1 its gradient, then the slots, then one for each reduction (empty where it is per tensor), then one
 * for each matrix. {@link vectorOf} finds that of a node.
 */
export interface Program {
  /** The rule's name and structure, for labels and logs. */
  readonly label: string;
  /** Slots that the kernel reads and writes, in the order of its bindings. */
  readonly slots: readonly string[];
  /** Those of each slot, in the memory of the parameter. */
  readonly slotAxes: readonly Axes[];
  /** How each slot is stored. Absent: all in float32. See {@link isPacked}. */
  readonly slotDtypes?: readonly SlotDtype[];
  readonly scalarSlots: readonly string[];
  readonly nodes: readonly ElementNode[];
  /**
   * The axes of each node, in memory: rows are what its first dimension counts or, where outputs are the last, all but the last. A node with 0
   * is the same for the whole tensor and can be hoisted.
   */
  readonly axes: readonly Axes[];
  /** Node of the next parameter, and of the next value of each slot. */
  readonly outputs: { readonly param: number; readonly slots: readonly number[] };
  readonly uniforms: readonly UniformSource[];
  readonly scalars: readonly ScalarInstruction[];
  /** Register with the next value of each scalar slot. */
  readonly scalarOutputs: readonly number[];
  readonly reductions: readonly TensorReduction[];
  readonly matrices: readonly MatrixRoutine[];
  /** One update pass, for most rules; before it come those that find what the update depends on. */
  readonly passes: readonly Pass[];
}

/** The number of a node's vector; `undefined` for what is computed. */
export function vectorOf(
  program: Pick<Program, "slots" | "reductions">,
  node: ElementNode | undefined,
): number | undefined {
  const slots = program.slots.length;
  switch (node?.op) {
    case "param":
      return 0;
    case "grad":
      return 1;
    case "slot":
      return 2 + node.slot;
    case "reduced":
      return 2 + slots + node.reduction;
    case "matrix":
      return 2 + slots + program.reductions.length + node.matrix;
    default:
      return undefined;
  }
}

/**
 * Whether a slot holds bfloat16, two in the place of each float32: element i in the lower half of place i ÷ 2 where i is even, in the upper half where it
 * is odd. A kernel widens what it loads, and rounds what it stores to nearest, ties to even.
 */
export const isPacked = ({ slotDtypes }: Pick<Program, "slotDtypes">, slot: number): boolean =>
  slotDtypes?.[slot] === "bfloat16";

/** The same of a vector by its number. */
export const isPackedVector = (program: Pick<Program, "slotDtypes">, vector: number): boolean =>
  isPacked(program, vector - 2);

/** The nodes that an element pass stores or measures. */
export function rootsOf({ reductions }: Program, pass: ElementPass): readonly number[] {
  if (pass.kind === "update") return pass.stores.map(({ node }) => node);
  return pass.reductions.flatMap((index) => {
    const { a, b } = reductions[index] as TensorReduction;
    return [a, b];
  });
}

/** Whether a pass over a tensor takes it as one row of all elements, since nothing in it is per row or per column. */
export function isFlat(program: Program, pass: ElementPass): boolean {
  // Asked at every step.
  return memo(flatPasses, pass, () => findFlat(program, pass));
}

const flatPasses = /* @__PURE__ */ new WeakMap<ElementPass, boolean>();

function findFlat(program: Program, pass: ElementPass): boolean {
  if (pass.axes !== 3) return true;
  if (neededNodes(program.nodes, rootsOf(program, pass)).some((node) => isPartial(program.axes[node])))
    return false;
  return (
    pass.kind === "update" || pass.reductions.every((index) => program.reductions[index]?.per === "tensor")
  );
}

// prettier-ignore
/** The operations of an engine that names none: those of the first version of the rule language. */
export const firstOperations: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "add", "sub", "mul", "div", "neg", "sqrt", "abs", "sign", "min", "max", "select", "gt", "lt", "eq", "norm",
]);

// prettier-ignore
/** All operations of this version of the rule language; `arrayKernels` and the kernels of WebAssembly have them. */
export const allOperations: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "add", "sub", "mul", "div", "neg", "sqrt", "abs", "sign", "min", "max", "select", "gt", "lt", "eq", "norm",
  "sum", "dot", "largest", "sum per row", "dot per row", "largest per row", "slot per row",
  "size", "nested norm", "orthogonalize", "total",
]);

/**
 * The operations of a program by name: those of nodes that have operands; `"norm"`, `"sum"`, `"dot"` and `"largest"`, the last three also as
 * `"sum per row"` and so on; `"slot per row"`; `"size"` for the extents of the tensor; `"nested norm"` for a reduction of what depends on
 * another; `"orthogonalize"`; `"total"`. Row stands for column too: which is which depends on the layout of a host's tensors.
 */
export function operationsOf(program: Program): ReadonlySet<string> {
  const { nodes, slotAxes, reductions, matrices, passes, scalars } = program;
  const found: string[] = nodes.filter((node) => operandsOf(node).length > 0).map(({ op }) => op);
  for (const { kind, per } of reductions) found.push(per === "tensor" ? kind : `${kind} per row`);
  if (slotAxes.some((axes) => axes !== 3)) found.push("slot per row");
  if (scalars.some(({ op }) => op === "size" || op === "rows" || op === "cols")) found.push("size");
  if (passes.filter(({ kind }) => kind === "reduce").length > 1) found.push("nested norm");
  if (matrices.length > 0) found.push("orthogonalize");
  if (scalars.some(({ op }) => op === "total")) found.push("total");
  return new Set(found);
}

/** The operands of a node, as positions of nodes, or of an instruction, as registers. */
export function operandsOf(item: ElementNode | ScalarInstruction): readonly number[] {
  if ("condition" in item) return [item.condition, item.a, item.b];
  if ("b" in item) return [item.a, item.b];
  return "a" in item ? [item.a] : [];
}

/** The elements that a reduction goes through: those of a tensor (axes 3), or one per row (1) or column (2). A constant counts once for each. */
export function axesOfReduction({ axes }: Pick<Program, "axes">, { a, b }: TensorReduction): Axes {
  return ((axes[a] as Axes) | (axes[b] as Axes) || 3) as Axes;
}

/** `roots` and the nodes that they depend on, as positions in order of evaluation. */
export function neededNodes(nodes: readonly ElementNode[], roots: Iterable<number>): readonly number[] {
  const needed = new Set(roots);
  for (let index = nodes.length - 1; index >= 0; index -= 1) {
    if (needed.has(index)) for (const operand of operandsOf(nodes[index] as ElementNode)) needed.add(operand);
  }
  return [...needed].sort((a, b) => a - b);
}
