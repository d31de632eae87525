import { memo } from "../memo.ts";
import { boundOps, type Operation, operations } from "./arithmetic.ts";
import { fromBfloat16, halvesOf, toBfloat16 } from "./bfloat16.ts";
import { type Extents, lengthAlong } from "./extents.ts";
import {
  type ElementNode,
  type ElementPass,
  isFlat,
  isPackedVector,
  neededNodes,
  type Program,
  rootsOf,
  type Store,
  type TensorReduction,
  vectorOf,
} from "./program.ts";

/** Elements that are evaluated at a time, one operation after the other. A multiple of 4. */
const block = 512;

/**
 * The reference: a pass in plain TypeScript, every operation rounded to float32. Compiled backends are held to its results to the bit.
 *
 * Used where WebAssembly may not be compiled (a content security policy without `wasm-unsafe-eval`): correct, and tens of times
 * slower than the kernel.
 *
 * @param vectors of the program, by number; none of them overlapping. A pass writes those that it stores, or those of its reductions per row and
 * per column
 * @param sums takes what a pass reduces per tensor, by number of reduction: Σx² for a norm
 */
export function evaluatePass(
  program: Program,
  pass: ElementPass,
  vectors: readonly Float32Array[],
  extents: Extents,
  uniforms: Float32Array,
  sums: Float64Array,
): void {
  const evaluator = evaluatorOf(program, pass);
  const { rows, cols } = evaluator.layout(extents);
  const measures =
    pass.kind === "reduce" ? pass.reductions.map((index) => measure(program, index, cols)) : [];
  for (let row = 0; row < rows; row += 1) {
    for (let start = 0; start < cols; start += block) {
      const count = Math.min(block, cols - start);
      evaluator.evaluate(vectors, uniforms, row, start, count, cols);
      for (const { add } of measures) add(evaluator.registers, start, count);
      if (pass.kind === "update")
        write(program, pass.stores, vectors, evaluator.registers, row * cols + start, count);
    }
    for (const { endRow } of measures) endRow?.(vectors, row);
  }
  for (const { end } of measures) end(vectors, sums);
}

interface PassEvaluator {
  /** Registers of a block, by node. Made once. */
  readonly registers: readonly Float32Array[];
  layout(extents: Extents): Extents;
  /** Fills the registers with `count` elements of a row, from `start` on. */
  evaluate(
    vectors: readonly Float32Array[],
    uniforms: Float32Array,
    row: number,
    start: number,
    count: number,
    cols: number,
  ): void;
}

const evaluators = /* @__PURE__ */ new WeakMap<ElementPass, PassEvaluator>();

function evaluatorOf(program: Program, pass: ElementPass): PassEvaluator {
  return memo(evaluators, pass, () => createEvaluator(program, pass));
}

function createEvaluator(program: Program, pass: ElementPass): PassEvaluator {
  const { nodes, axes } = program;
  const needed = neededNodes(nodes, rootsOf(program, pass));
  const flat = isFlat(program, pass);
  const registers: Float32Array[] = [];
  for (const index of needed) registers[index] = new Float32Array(block);
  return {
    registers,
    layout: (extents) => (flat ? { rows: 1, cols: lengthAlong(extents, pass.axes) } : extents),
    evaluate(vectors, uniforms, row, start, count, cols) {
      for (const index of needed) {
        const out = registers[index] as Float32Array;
        const node = nodes[index] as ElementNode;
        const vector = vectorOf(program, node);
        if (vector !== undefined) {
          const from = vectors[vector] as Float32Array;
          if (!flat && axes[index] === 1) out.fill(from[row] as number);
          else {
            const first = start + (!flat && axes[index] === 2 ? 0 : row * cols);
            if (isPackedVector(program, vector))
              fromBfloat16(halvesOf(from).subarray(first, first + count), out.subarray(0, count));
            else out.set(from.subarray(first, first + count));
          }
        } else if (node.op === "uniform") out.fill(uniforms[node.uniform] as number);
        else if (node.op === "const") out.fill(node.value);
        else {
          const { op, a, b = a, condition = a } = node as Operation;
          const apply = (op === "min" || op === "max") && axes[b] === 0 ? boundOps[op] : operations[op];
          const [x, y, z] = [registers[a], registers[b], registers[condition]] as Operands;
          for (let i = 0; i < count; i += 1) out[i] = apply(x[i] as number, y[i] as number, z[i] as number);
        }
      }
    },
  };
}

function write(
  program: Program,
  stores: readonly Store[],
  vectors: readonly Float32Array[],
  registers: readonly Float32Array[],
  at: number,
  count: number,
): void {
  for (const { node, vector } of stores) {
    const values = (registers[node] as Float32Array).subarray(0, count);
    const into = vectors[vector] as Float32Array;
    if (isPackedVector(program, vector)) toBfloat16(values, halvesOf(into).subarray(at, at + count));
    else into.set(values, at);
  }
}

/** A reduction while a pass goes through the elements. */
interface Measure {
  add(registers: readonly Float32Array[], start: number, count: number): void;
  endRow?(vectors: readonly Float32Array[], row: number): void;
  end(vectors: readonly Float32Array[], sums: Float64Array): void;
}

function measure(program: Program, index: number, cols: number): Measure {
  const { kind, a, b, per } = program.reductions[index] as TensorReduction;
  const vector = vectorOf(program, { op: "reduced", reduction: index }) as number;
  const byColumn = per === "column";
  const partials = new Float64Array(byColumn ? cols : 4);
  const total = (): number => (kind === "largest" ? Math.max(...partials) : combine(partials));
  return {
    add(registers, start, count) {
      const [x, y] = [registers[a] as Float32Array, registers[b] as Float32Array];
      for (let i = 0; i < count; i += 1) {
        const at = byColumn ? start + i : i & 3;
        const [left, before] = [x[i] as number, partials[at] as number];
        if (kind === "largest") partials[at] = Math.max(before, Math.abs(left));
        else partials[at] = before + (kind === "sum" ? left : left * (y[i] as number));
      }
    },
    ...(per === "row" && {
      endRow(vectors, row) {
        (vectors[vector] as Float32Array)[row] = total();
        partials.fill(0);
      },
    }),
    end(vectors, sums) {
      if (byColumn) (vectors[vector] as Float32Array).set(partials);
      else if (per === "tensor") sums[index] = total();
    },
  };
}

/** Any operation, as if it had all operands. */
type Operands = readonly [Float32Array, Float32Array, Float32Array];

/**
 * How every CPU backend sums: in float64, element i into partial i mod 4, and (0 + 1) + (2 + 3) at the end. Squares of finite float32
 * values cannot overflow there, so a finite tensor has a finite norm. Earlier elements number a multiple of 4.
 */
function addTerms(
  partials: Float64Array,
  x: Float32Array,
  count: number,
  term: (element: number) => number,
): void {
  for (let i = 0; i < count; i += 1) partials[i & 3] = (partials[i & 3] as number) + term(x[i] as number);
}

const square = (x: number): number => x * x;

/** (0 + 1) + (2 + 3) */
function combine(partials: Float64Array): number {
  const [first, second, third, fourth] = partials as unknown as readonly [number, number, number, number];
  return first + second + (third + fourth);
}

/** The measure of a reduction over a gradient. */
export type Reduction =
  /** Σ |x|, Σ x², Σ (|x| ÷ scale)ᵖ in float64 */
  | { readonly power: number; readonly scale: number }
  /** max |x|, NaN when an element is NaN */
  | "max";

/** The reference reduction, and what runs without WebAssembly. */
export function reduceArray(x: Float32Array, reduction: Reduction, finiteOnly = false): number {
  if (finiteOnly) {
    return reduceArray(
      x.map((value) => (Number.isFinite(value) ? value : 0)),
      reduction,
    );
  }
  if (reduction === "max") return x.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const { power, scale } = reduction;
  const partials = new Float64Array(4);
  const sizeToThePower = (value: number): number => {
    const size = Math.abs(value) / scale;
    return power === 1 ? size : size ** power;
  };
  addTerms(partials, x, x.length, power === 2 && scale === 1 ? square : sizeToThePower);
  return combine(partials);
}
