import { createEvaluator, type Evaluator, reduceArray, type Reduction } from "./evaluate.ts";
import { memo } from "./memo.ts";
import type { Program } from "./trace.ts";

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
  const evaluator = (program: Program): Evaluator =>
    memo(evaluators, program, () => createEvaluator(program));
  return {
    accumulate(accumulator, gradient, scale, overwrite) {
      const factor = Math.fround(scale);
      for (let i = 0; i < accumulator.length; i += 1) {
        const scaled = Math.fround((gradient[i] as number) * factor);
        accumulator[i] = overwrite ? scaled : (accumulator[i] as number) + scaled;
      }
    },
    reduce: reduceArray,
    norms: (program, param, grad, slots, uniforms, sums) =>
      evaluator(program).norms(param, grad, slots, uniforms, sums),
    update: (program, param, grad, slots, uniforms) =>
      evaluator(program).update(param, grad, slots, uniforms),
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
