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

/** The operations of a program by name: those of nodes that have operands, and `"norm"`. */
export function operationsOf({ nodes, norms }: Program): ReadonlySet<string> {
  const operations = nodes.filter((node) => operandsOf(node).length > 0).map(({ op }) => op);
  return new Set(norms.length > 0 ? [...operations, "norm"] : operations);
}

/** The operands of a node, as positions. */
export function operandsOf(node: ElementNode): readonly number[] {
  if ("condition" in node) return [node.condition, node.a, node.b];
  if ("b" in node) return [node.a, node.b];
  return "a" in node ? [node.a] : [];
}

/** `roots` and the nodes that they depend on, as positions in order of evaluation. */
export function neededNodes(nodes: readonly ElementNode[], roots: Iterable<number>): readonly number[] {
  const needed = new Set(roots);
  for (let index = nodes.length - 1; index >= 0; index -= 1) {
    if (needed.has(index)) for (const operand of operandsOf(nodes[index] as ElementNode)) needed.add(operand);
  }
  return [...needed].sort((a, b) => a - b);
}
