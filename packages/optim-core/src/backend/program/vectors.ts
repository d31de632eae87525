import { memo } from "../memo.ts";
import type { Coefficients } from "../../rule/expression.ts";
import { evaluatePass, reduceArray, type Reduction } from "./evaluate.ts";
import type { Extents } from "./extents.ts";
import { orthogonalizeArray } from "./orthogonalize.ts";
import type { ElementPass, Program } from "./program.ts";
import { scratchLengths } from "./scratch.ts";

/**
 * The arithmetic of a CPU backend over its own vectors. Compiled kernels and the reference implement the same few methods, so "no
 * WebAssembly here" is a value, not a branch.
 */
export interface VectorKernels<V> {
  /** accumulator ← accumulator + scale × gradient, or scale × gradient when `overwrite`. One pass. The two may be one vector. */
  accumulate(accumulator: V, gradient: V, scale: number, overwrite: boolean): void;
  /** Measures a vector in one pass; with `finiteOnly` (rare, may be slow) as if elements that are not finite were 0. */
  reduce(vector: V, reduction: Reduction, finiteOnly?: boolean): number;
  /**
   * Runs a pass of a program in place.
   *
   * @param vectors of the program, by number (see {@link Program})
   * @param extents of the parameter in memory
   * @param sums takes what the pass reduces per tensor, by number of reduction: Σx² for a norm, in float64
   */
  run(
    program: Program,
    pass: ElementPass,
    vectors: readonly V[],
    extents: Extents,
    uniforms: Float32Array,
    sums: Float64Array,
  ): void;
  /**
   * Makes the room that running a program on a tensor takes beside its parameter, gradient and slots. Called before a step, whose calls then
   * cannot fail.
   */
  reserve(program: Program, extents: Extents): void;
  /** The vectors behind the slots of a program, which passes hand on to each other. They hold anything, and are the same from tensor to tensor. */
  scratch(program: Program, extents: Extents): readonly V[];
  /** The Newton–Schulz steps of `orthogonalize` of the rule language, in place. */
  orthogonalize(matrix: V, extents: Extents, coefficients: readonly Coefficients[]): void;
}

/** The reference evaluation as kernels over plain arrays. */
export function arrayKernels(): VectorKernels<Float32Array> {
  const arrays = new WeakMap<Program, Float32Array[]>();
  const scratch = (program: Program, extents: Extents): readonly Float32Array[] => {
    const known = memo(arrays, program, (): Float32Array[] => []);
    return scratchLengths(program, extents).map((length, index) => {
      if ((known[index]?.length ?? -1) < length) known[index] = new Float32Array(length);
      return (known[index] as Float32Array).subarray(0, length);
    });
  };
  return {
    accumulate(accumulator, gradient, scale, overwrite) {
      const factor = Math.fround(scale);
      for (let i = 0; i < accumulator.length; i += 1) {
        const scaled = Math.fround((gradient[i] as number) * factor);
        accumulator[i] = overwrite ? scaled : (accumulator[i] as number) + scaled;
      }
    },
    reduce: reduceArray,
    run: evaluatePass,
    reserve: scratch,
    scratch,
    orthogonalize: orthogonalizeArray,
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
