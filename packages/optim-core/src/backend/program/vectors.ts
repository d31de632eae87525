import {
  addTerms,
  combine,
  createEvaluator,
  type Evaluator,
  reduceArray,
  type Reduction,
  square,
} from "./evaluate.ts";
import { memo } from "../memo.ts";
import type { Program } from "./program.ts";

/**
 * The arithmetic of a CPU backend over its own vectors. Compiled kernels and the reference implement the same few methods, so "no
 * WebAssembly here" is a value, not a branch.
 */
export interface VectorKernels<V> {
  /** accumulator ← accumulator + scale × gradient, or scale × gradient when `overwrite`. One pass. The two may be one vector. */
  accumulate(accumulator: V, gradient: V, scale: number, overwrite: boolean): void;
  /** Measures a vector in one pass; with `finiteOnly` (rare, may be slow) as if elements that are not finite were 0. */
  reduce(vector: V, reduction: Reduction, finiteOnly?: boolean): number;
  /** Sums of squares of the program's norm inputs, into `sums`. One pass. */
  norms(
    program: Program,
    param: V,
    grad: V,
    slots: readonly V[],
    uniforms: Float32Array,
    sums: Float64Array,
  ): void;
  /** One update in place, in one pass. */
  update(program: Program, param: V, grad: V, slots: readonly V[], uniforms: Float32Array): void;
}

/** The reference evaluation as kernels over plain arrays. */
export function arrayKernels(): VectorKernels<Float32Array> {
  const evaluators = new WeakMap<Program, Evaluator>();
  const evaluate = (program: Program): Evaluator => memo(evaluators, program, () => createEvaluator(program));
  return {
    accumulate(accumulator, gradient, scale, overwrite) {
      const factor = Math.fround(scale);
      for (let i = 0; i < accumulator.length; i += 1) {
        const scaled = Math.fround((gradient[i] as number) * factor);
        accumulator[i] = overwrite ? scaled : (accumulator[i] as number) + scaled;
      }
    },
    reduce: reduceArray,
    norms(program, param, grad, slots, uniforms, sums) {
      const { norms } = program;
      const partials = norms.map(() => new Float64Array(4));
      evaluate(program)([param, grad, ...slots], uniforms, Math.max(...norms), (registers, _, count) => {
        for (const [norm, node] of norms.entries()) {
          addTerms(partials[norm] as Float64Array, registers[node] as Float32Array, count, square);
        }
      });
      sums.set(partials.map(combine));
    },
    update(program, param, grad, slots, uniforms) {
      const { outputs, nodes } = program;
      const next = [outputs.param, ...outputs.slots];
      evaluate(program)([param, grad, ...slots], uniforms, nodes.length - 1, (registers, start, count) => {
        for (const [index, vector] of [param, ...slots].entries()) {
          vector.set((registers[next[index] as number] as Float32Array).subarray(0, count), start);
        }
      });
    },
  };
}

/** Copies of arrays, as views of one ArrayBuffer: what `Engine.read` gives. */
export function packed(arrays: readonly Float32Array[]): Float32Array[] {
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  return arrays.map((array) => {
    const copy = all.subarray(start, (start += array.length));
    copy.set(array);
    return copy;
  });
}
