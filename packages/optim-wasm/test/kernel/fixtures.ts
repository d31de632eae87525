import { arrayKernels, type Extents, type Program, scratchLengths } from "@mm/optim-core/backend";
import { type Vector, wasmKernels } from "@mm/optim-wasm/kernel";
import { namedPasses } from "../../src/kernel/emit.ts";

/** Lengths around the groups of 4 and 16 elements that the loops take, and none at all. */
export const lengths: readonly number[] = [0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 63, 64, 65, 1000];

/** The same vectors in a memory, which are 4 (not 16) bytes aligned as in a foreign heap, with guards around them. */
export class Heap {
  readonly memory = new WebAssembly.Memory({ initial: 1 });
  readonly kernels = wasmKernels(this.memory, { room: (bytes) => this.#roomOf(bytes) });
  #top = 4;
  #room: Vector | undefined;

  vector(data: Float32Array): Vector {
    const vector = { pointer: this.#top + 4, length: data.length };
    this.#top = vector.pointer + 4 * data.length + 4;
    const missing = Math.ceil(this.#top / 65_536) - this.memory.buffer.byteLength / 65_536;
    if (missing > 0) this.memory.grow(missing);
    const guarded = new Float32Array(this.memory.buffer, vector.pointer - 4, data.length + 2);
    guarded.fill(guard);
    guarded.set(data, 1);
    return vector;
  }

  #roomOf(bytes: number): number {
    const enough = this.#room !== undefined && 4 * this.#room.length >= bytes + 16;
    if (!enough) this.#room = this.vector(new Float32Array(Math.ceil(bytes / 4) + 4));
    return Math.ceil((this.#room as Vector).pointer / 16) * 16;
  }

  read({ pointer, length }: Vector): Float32Array {
    const guarded = new Float32Array(this.memory.buffer, pointer - 4, length + 2);
    if (guarded[0] !== guard || guarded[length + 1] !== guard) throw new Error("written beyond a vector");
    return guarded.slice(1, -1);
  }
}

const guard = 12_345;

/** All that a program reads and writes, and what it measures. */
interface Outcome {
  readonly vectors: readonly Float32Array[];
  readonly sums: Float64Array;
}

/**
 * Runs the passes of a program by kernel and by reference, all with the same uniforms. `toEqual` tells −0 from 0 and takes any NaN for NaN, as it
 * should.
 *
 * @param extents of the parameter. Default: one row
 */
export function bothWays(
  it: Program,
  param: Float32Array,
  grad: Float32Array,
  slots: readonly Float32Array[] = [],
  uniforms: Float32Array = new Float32Array(0),
  extents: Extents = { rows: 1, cols: param.length },
): { readonly compiled: Outcome; readonly reference: Outcome } {
  const heap = new Heap();
  const handed = scratchLengths(it, extents).map((length) => new Float32Array(length));
  const data = [param, grad, ...slots, ...handed];
  const vectors = data.map((array) => heap.vector(array));
  const reference = {
    vectors: data.map((array) => array.slice()),
    sums: new Float64Array(it.reductions.length),
  };
  const sums = new Float64Array(it.reductions.length);
  heap.kernels.reserve(it, extents);
  for (const { pass } of namedPasses(it)) {
    heap.kernels.run(it, pass, vectors, extents, uniforms, sums);
    arrayKernels().run(it, pass, reference.vectors, extents, uniforms, reference.sums);
  }
  return { compiled: { vectors: vectors.map((vector) => heap.read(vector)), sums }, reference };
}
