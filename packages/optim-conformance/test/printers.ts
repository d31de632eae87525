import {
  arrayKernels,
  type ElementNode,
  isPacked,
  isPackedVector,
  packBfloat16,
  type Program,
  unpackBfloat16,
  type VectorKernels,
} from "@mm/optim-core/backend";

/** An operation with all operands that any has. */
type Apply = (a: number, b: number, condition: number) => number;

/** The choices of a printer of kernels: the operations, constants, and the order of a sum. */
export interface Printer {
  readonly operations: { readonly [op: string]: Apply };
  /** `min` and `max` of a tensor and what is the same for the whole tensor. */
  readonly bounds: { readonly [op: string]: Apply };
  readonly constant: (value: number) => number;
  /** The form in which an operation's result is stored. */
  readonly store: (value: number) => number;
  readonly sumOfSquares: (values: Float32Array) => number;
  /** The places of a slot in bfloat16. */
  readonly pack: (values: Float32Array) => Float32Array;
}

/** As the contract has it. */
const right: Printer = {
  operations: {
    neg: (a) => -a,
    sqrt: Math.sqrt,
    abs: Math.abs,
    sign: (a) => (a > 0 ? 1 : a < 0 ? -1 : Number.isNaN(a) ? a : 0),
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => a / b,
    min: (a, b) => Math.min(a, b),
    max: (a, b) => Math.max(a, b),
    gt: (a, b) => Number(a > b),
    lt: (a, b) => Number(a < b),
    eq: (a, b) => Number(a === b),
    select: (a, b, condition) => (condition === 1 ? a : b),
  },
  bounds: { min: (a, bound) => (bound < a ? bound : a), max: (a, bound) => (a < bound ? bound : a) },
  constant: Math.fround,
  store: Math.fround,
  sumOfSquares(values) {
    const partials = [0, 0, 0, 0];
    for (const [index, value] of values.entries())
      partials[index % 4] = (partials[index % 4] as number) + value * value;
    const [first = 0, second = 0, third = 0, fourth = 0] = partials;
    return first + second + (third + fourth);
  },
  pack: packBfloat16,
};

const operation = (op: string, apply: Apply): Printer => ({
  ...right,
  operations: { ...right.operations, [op]: apply },
});
const bound = (op: string, apply: Apply): Printer => ({ ...right, bounds: { ...right.bounds, [op]: apply } });

const tests = (op: string): string =>
  `operations: ${op} of NaN, infinities, zeros of both signs, denormals and ties`;

/** Printers with one fault each, and the test of the kit that has to find it. */
export const wrongPrinters: readonly (readonly [fault: string, caughtBy: string, printer: Printer])[] = [
  ["gives −0 for the sign of −0", tests("sign"), operation("sign", Math.sign)],
  ["gives the sign of NaN as 0", tests("sign"), operation("sign", (a) => Number(a > 0) - Number(a < 0))],
  ["loses a NaN that comes second in min", tests("min"), operation("min", (a, b) => (a > b ? b : a))],
  ["loses a NaN that comes second in max", tests("max"), operation("max", (a, b) => (a < b ? b : a))],
  [
    "gives the scalar's zero where min ties",
    tests("min"),
    bound("min", (a, b) => (a < b ? a : Number.isNaN(a) ? a : b)),
  ],
  [
    "gives the scalar's zero where max ties",
    tests("max"),
    bound("max", (a, b) => (b < a ? a : Number.isNaN(a) ? a : b)),
  ],
  ["compares by Object.is", tests("eq"), operation("eq", (a, b) => Number(Object.is(a, b)))],
  ["takes > for ≥", tests("gt"), operation("gt", (a, b) => Number(a >= b))],
  ["takes < for not ≥, true with NaN", tests("lt"), operation("lt", (a, b) => Number(!(a >= b)))],
  [
    "prints constants with six digits",
    "operations: constants and scalars are rounded to float32 where a tensor meets them",
    { ...right, constant: (value) => Math.fround(Number(value.toPrecision(6))) },
  ],
  [
    "sums norms from first to last",
    "operations: a norm is the root of the sum of squares, to the bit where the backend says so",
    { ...right, sumOfSquares: (values) => values.reduce((sum, value) => sum + value * value, 0) },
  ],
  ["negates by 0 − x", tests("neg"), operation("neg", (a) => 0 - a)],
  ["divides by the reciprocal", tests("div"), operation("div", (a, b) => a * Math.fround(1 / b))],
  [
    "selects by arithmetic, so that a NaN that was not taken is",
    tests("select"),
    operation("select", (a, b, condition) => condition * a + (1 - condition) * b),
  ],
  ["takes the root of a size", tests("sqrt"), operation("sqrt", (a) => Math.sqrt(Math.abs(a)))],
  [
    "flushes denormals in products",
    tests("mul"),
    operation("mul", (a, b) => (Math.abs(a * b) < 2 ** -126 ? (a * b < 0 ? -0 : 0) : a * b)),
  ],
];

/** The halves of float32 that are kept, as they are. */
export const cutting: Printer = {
  ...right,
  pack(values) {
    const bits = new Uint32Array(values.slice().buffer).map((word) => word & 0xffff0000);
    return packBfloat16(new Float32Array(bits.buffer));
  },
};

/** Element by element, whole vectors at a time. */
export function printed(printer: Printer = right): VectorKernels<Float32Array> {
  const kernels = arrayKernels();
  return {
    ...kernels,
    run(program, pass, vectors, extents, uniforms, sums) {
      // An operation that the printer does not print is not its fault.
      const isPrinted =
        program.matrices.length === 0 && program.reductions.every(({ kind }) => kind === "norm");
      if (!isPrinted) kernels.run(program, pass, vectors, extents, uniforms, sums);
      else {
        const values = evaluate(printer, program, vectors, uniforms);
        if (pass.kind === "update") {
          for (const { node, vector } of pass.stores) {
            const next = Float32Array.from(values[node] as readonly number[]);
            (vectors[vector] as Float32Array).set(
              isPackedVector(program, vector) ? printer.pack(next) : next,
            );
          }
        } else {
          for (const index of pass.reductions) {
            const { a } = program.reductions[index] as Program["reductions"][number];
            sums[index] = printer.sumOfSquares(Float32Array.from(values[a] as readonly number[]));
          }
        }
      }
    },
  };
}

/** The values of all nodes, by node and element. */
function evaluate(
  { operations, bounds, constant, store }: Printer,
  program: Program,
  vectors: readonly Float32Array[],
  uniforms: Float32Array,
): readonly (readonly number[])[] {
  const { nodes, axes } = program;
  const { length } = vectors[0] as Float32Array;
  const values: number[][] = [];
  const all = (of: (element: number) => number): number[] =>
    Array.from({ length }, (_, element) => of(element));
  for (const node of nodes as readonly (ElementNode & { readonly a?: number })[]) {
    const read = (position: number | undefined, element: number): number =>
      position === undefined ? Number.NaN : (values[position]?.[element] as number);
    if (node.op === "param") values.push([...(vectors[0] as Float32Array)]);
    else if (node.op === "grad") values.push([...(vectors[1] as Float32Array)]);
    else if (node.op === "slot") {
      const vector = vectors[2 + node.slot] as Float32Array;
      values.push([...(isPacked(program, node.slot) ? unpackBfloat16(vector, length) : vector)]);
    } else if (node.op === "uniform") values.push(all(() => uniforms[node.uniform] as number));
    else if (node.op === "const") values.push(all(() => constant(node.value)));
    else {
      const { a, b, condition } = node as {
        readonly a: number;
        readonly b?: number;
        readonly condition?: number;
      };
      const isBound = b !== undefined && axes[b] === 0 && node.op in bounds;
      const apply = (isBound ? bounds : operations)[node.op] as Apply;
      values.push(all((i) => store(apply(read(a, i), read(b, i), read(condition, i)))));
    }
  }
  return values;
}
