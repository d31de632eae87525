import { binaryOps, boundOps, unaryOps } from "./arithmetic.ts";
import type { ElementNode, Program } from "./trace.ts";

/**
 * The reference: the elementwise part of a program in plain TypeScript, every operation rounded to float32. Compiled backends are held
 * to its results to the bit. Works in blocks, one pass per operation over a block, and allocates nothing per step.
 *
 * Used where WebAssembly may not be compiled (a content security policy without `wasm-unsafe-eval`): correct, and tens of times
 * slower than the kernel.
 */
export interface Evaluator {
  /** One update in place. `slots` in the order of `program.slots`; all arrays of one length, none of them overlapping. */
  update(
    param: Float32Array,
    grad: Float32Array,
    slots: readonly Float32Array[],
    uniforms: Float32Array,
  ): void;
  /** The sum of squares of the program's norm inputs, by norm number, into `sums`. Changes nothing else. */
  norms(
    param: Float32Array,
    grad: Float32Array,
    slots: readonly Float32Array[],
    uniforms: Float32Array,
    sums: Float64Array,
  ): void;
}

const block = 512;

export function createEvaluator(program: Program): Evaluator {
  const { nodes, outputs } = program;
  const registers = nodes.map(() => new Float32Array(block));
  const run = (
    last: number,
    start: number,
    count: number,
    param: Float32Array,
    grad: Float32Array,
    slots: readonly Float32Array[],
    uniforms: Float32Array,
  ): void => {
    for (let index = 0; index <= last; index += 1) {
      const node = nodes[index] as ElementNode;
      const out = registers[index] as Float32Array;
      if (node.op === "param") out.set(param.subarray(start, start + count));
      else if (node.op === "grad") out.set(grad.subarray(start, start + count));
      else if (node.op === "slot") out.set((slots[node.slot] as Float32Array).subarray(start, start + count));
      else if (node.op === "uniform") out.fill(uniforms[node.uniform] as number, 0, count);
      else if (node.op === "const") out.fill(node.value, 0, count);
      else {
        const a = registers[node.a] as Float32Array;
        if ("condition" in node) {
          const condition = registers[node.condition] as Float32Array;
          const b = registers[node.b] as Float32Array;
          for (let i = 0; i < count; i += 1)
            out[i] = condition[i] === 1 ? (a[i] as number) : (b[i] as number);
        } else if ("b" in node) {
          const b = registers[node.b] as Float32Array;
          const { op } = node;
          const operate =
            (op === "min" || op === "max") && program.varying[node.b] === false
              ? boundOps[op]
              : binaryOps[op];
          for (let i = 0; i < count; i += 1) out[i] = operate(a[i] as number, b[i] as number);
        } else {
          const apply = unaryOps[node.op];
          for (let i = 0; i < count; i += 1) out[i] = apply(a[i] as number);
        }
      }
    }
  };
  const lastNorm = Math.max(-1, ...program.norms);
  return {
    update(param, grad, slots, uniforms) {
      for (let start = 0; start < param.length; start += block) {
        const count = Math.min(block, param.length - start);
        run(nodes.length - 1, start, count, param, grad, slots, uniforms);
        param.set((registers[outputs.param] as Float32Array).subarray(0, count), start);
        for (let slot = 0; slot < slots.length; slot += 1) {
          (slots[slot] as Float32Array).set(
            (registers[outputs.slots[slot] as number] as Float32Array).subarray(0, count),
            start,
          );
        }
      }
    },
    norms(param, grad, slots, uniforms, sums) {
      const partials = program.norms.map(() => new Float64Array(4));
      for (let start = 0; start < param.length; start += block) {
        const count = Math.min(block, param.length - start);
        run(lastNorm, start, count, param, grad, slots, uniforms);
        for (const [norm, node] of program.norms.entries())
          addSquares(registers[node] as Float32Array, count, partials[norm] as Float64Array);
      }
      for (const [norm, partial] of partials.entries()) sums[norm] = combine(partial);
    },
  };
}

/**
 * How every CPU backend sums: in float64, element i into partial i mod 4, and (0 + 1) + (2 + 3) at the end. Squares of finite float32
 * values cannot overflow there, so a finite tensor has a finite norm. `offset` elements are a multiple of 4 before this block.
 */
function addSquares(x: Float32Array, count: number, partials: Float64Array): void {
  for (let i = 0; i < count; i += 1)
    partials[i & 3] = (partials[i & 3] as number) + (x[i] as number) * (x[i] as number);
}

/** (0 + 1) + (2 + 3) */
export function combine(partials: Float64Array): number {
  return (
    (partials[0] as number) + (partials[1] as number) + ((partials[2] as number) + (partials[3] as number))
  );
}

/** What a reduction over a gradient measures. */
export type Reduction =
  /** Σ |x|, Σ x², Σ (|x| ÷ scale)ᵖ in float64 */
  | { readonly power: number; readonly scale: number }
  /** max |x|, NaN when an element is NaN */
  | "max";

/** The reference reduction, and what runs without WebAssembly. */
export function reduceArray(x: Float32Array, reduction: Reduction, finiteOnly = false): number {
  if (finiteOnly)
    return reduceArray(
      x.map((value) => (Number.isFinite(value) ? value : 0)),
      reduction,
    );
  if (reduction === "max") {
    let largest = 0;
    for (let i = 0; i < x.length; i += 1) largest = Math.max(largest, Math.abs(x[i] as number));
    return largest;
  }
  const partials = new Float64Array(4);
  const { power, scale } = reduction;
  if (power === 2 && scale === 1) addSquares(x, x.length, partials);
  else {
    for (let i = 0; i < x.length; i += 1) {
      const size = Math.abs(x[i] as number) / scale;
      partials[i & 3] = (partials[i & 3] as number) + (power === 1 ? size : size ** power);
    }
  }
  return combine(partials);
}
