import { arrayKernels, type Program, type VectorKernels } from "@mm/optim-core/backend";
import { type Vector, wasmKernels } from "@mm/optim-wasm/kernel";

/** Lengths around the groups of 4 and 16 elements that the loops take, and none at all. */
export const lengths: readonly number[] = [0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 63, 64, 65, 1000];

/** The same vectors in a memory, which are 4 (not 16) bytes aligned as in a foreign heap, with guards around them. */
export class Heap {
  readonly memory = new WebAssembly.Memory({ initial: 1 });
  readonly kernels = wasmKernels(this.memory);
  #top = 4;

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

  read({ pointer, length }: Vector): Float32Array {
    const guarded = new Float32Array(this.memory.buffer, pointer - 4, length + 2);
    if (guarded[0] !== guard || guarded[length + 1] !== guard) throw new Error("written beyond a vector");
    return guarded.slice(1, -1);
  }
}

const guard = 12_345;

/** All that a program reads and writes, and what it measures. */
interface Outcome {
  readonly param: Float32Array;
  readonly grad: Float32Array;
  readonly slots: readonly Float32Array[];
  readonly sums: Float64Array;
}

/** Runs a program by kernel and by reference. `toEqual` tells −0 from 0 and takes any NaN for NaN, as it should. */
export function bothWays(
  it: Program,
  param: Float32Array,
  grad: Float32Array,
  slots: readonly Float32Array[] = [],
  uniforms: Float32Array = new Float32Array(0),
): { readonly compiled: Outcome; readonly reference: Outcome } {
  const heap = new Heap();
  const vectors = {
    param: heap.vector(param),
    grad: heap.vector(grad),
    slots: slots.map((data) => heap.vector(data)),
    sums: new Float64Array(it.norms.length),
  };
  const reference = {
    param: param.slice(),
    grad: grad.slice(),
    slots: slots.map((data) => data.slice()),
    sums: new Float64Array(it.norms.length),
  };
  run(heap.kernels, it, vectors, uniforms);
  run(arrayKernels(), it, reference, uniforms);
  const compiled = {
    param: heap.read(vectors.param),
    grad: heap.read(vectors.grad),
    slots: vectors.slots.map((vector) => heap.read(vector)),
    sums: vectors.sums,
  };
  return { compiled, reference };
}

function run<V>(
  kernels: VectorKernels<V>,
  it: Program,
  data: { readonly param: V; readonly grad: V; readonly slots: readonly V[]; readonly sums: Float64Array },
  uniforms: Float32Array,
): void {
  const { param, grad, slots, sums } = data;
  if (it.norms.length > 0) kernels.norms(it, param, grad, slots, uniforms, sums);
  kernels.update(it, param, grad, slots, uniforms);
}
