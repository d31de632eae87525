import { boundOps, type Operation, operations } from "./arithmetic.ts";
import type { ElementNode, Program } from "./program.ts";

/**
 * The reference: the elementwise part of a program in plain TypeScript, every operation rounded to float32. Compiled backends are held
 * to its results to the bit. Works in blocks, one pass per operation over a block, and makes its vectors once.
 *
 * Used where WebAssembly may not be compiled (a content security policy without `wasm-unsafe-eval`): correct, and tens of times
 * slower than the kernel.
 *
 * @param vectors parameter, gradient and slots, in the order of `program.slots`; all of one length, none of them overlapping
 * @param last the last node that is wanted
 * @param use sees each block: `registers` hold its elements by node, the first `count` of them those from `start` on
 */
export type Evaluator = (
  vectors: readonly Float32Array[],
  uniforms: Float32Array,
  last: number,
  use: (registers: readonly Float32Array[], start: number, count: number) => void,
) => void;

const block = 512;

export function createEvaluator({ nodes, varying }: Program): Evaluator {
  const registers = nodes.map(() => new Float32Array(block));
  return (vectors, uniforms, last, use) => {
    const { length } = vectors[0] as Float32Array;
    for (let start = 0; start < length; start += block) {
      const count = Math.min(block, length - start);
      for (let index = 0; index <= last; index += 1) {
        const out = registers[index] as Float32Array;
        const node = nodes[index] as ElementNode;
        const load = (vector: number): void =>
          out.set((vectors[vector] as Float32Array).subarray(start, start + count));
        if (node.op === "param") load(0);
        else if (node.op === "grad") load(1);
        else if (node.op === "slot") load(2 + node.slot);
        else if (node.op === "uniform") out.fill(uniforms[node.uniform] as number);
        else if (node.op === "const") out.fill(node.value);
        else {
          const { op, a, b = a, condition = a } = node as Operation;
          const apply =
            (op === "min" || op === "max") && varying[b] === false ? boundOps[op] : operations[op];
          const [x, y, z] = [registers[a], registers[b], registers[condition]] as Operands;
          for (let i = 0; i < count; i += 1) out[i] = apply(x[i] as number, y[i] as number, z[i] as number);
        }
      }
      use(registers, start, count);
    }
  };
}

/** Any operation, as if it had all operands. */
type Operands = readonly [Float32Array, Float32Array, Float32Array];

/**
 * How every CPU backend sums: in float64, element i into partial i mod 4, and (0 + 1) + (2 + 3) at the end. Squares of finite float32
 * values cannot overflow there, so a finite tensor has a finite norm. What was added before is a multiple of 4 elements.
 */
export function addTerms(
  partials: Float64Array,
  x: Float32Array,
  count: number,
  term: (element: number) => number,
): void {
  for (let i = 0; i < count; i += 1) partials[i & 3] = (partials[i & 3] as number) + term(x[i] as number);
}

export const square = (x: number): number => x * x;

/** (0 + 1) + (2 + 3) */
export function combine(partials: Float64Array): number {
  const [first, second, third, fourth] = partials as unknown as readonly [number, number, number, number];
  return first + second + (third + fourth);
}

/** What a reduction over a gradient measures. */
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
