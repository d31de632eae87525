import { arrayKernels, type VectorKernels } from "@mm/optim-core/backend";
import { type Vector, wasmKernels } from "./kernels.ts";
import { pageSize, type WasmNamespace, webAssembly } from "./webassembly.ts";

/** Vectors of float32, with the kernels that work on them. */
export interface VectorStore<V> {
  readonly kernels: VectorKernels<V>;
  /** A vector of `length` elements, filled with `initial`. May grow the memory, which detaches views made before. */
  allocate(length: number, initial: number): V;
  /** Gives a vector back: the next one of the same length takes its place. */
  release(vector: V): void;
  /** Makes room, so that vectors of all these lengths can be allocated without growing the memory. */
  reserve(lengths: readonly number[]): void;
  /** The elements of a vector, to use at once: the next `allocate` or `reserve` may detach it. */
  view(vector: V): Float32Array;
}

/** Vectors begin at multiples of a cache line. */
const alignment = 64;

/** The last page stays free, so that no vector ends at 2³². */
const mostPages = 65_535;

const fewestNewPages = 16;

/**
 * Storage in a private WebAssembly memory that grows as needed, up to 4 GiB. It never shrinks; it is freed when the store is
 * unreachable.
 *
 * @throws what `new WebAssembly.Module` throws where `kernelsAvailable()` is `false`
 */
export function createVectorMemory(): VectorStore<Vector> {
  const memory = new (webAssembly() as WasmNamespace).Memory({ initial: 0, maximum: mostPages });
  const released = new Map<number, number[]>();
  let top = 0;
  const sizeOf = (length: number): number => Math.ceil((4 * length) / alignment) * alignment;
  const grow = (bytes: number): void => {
    const pages = memory.buffer.byteLength / pageSize;
    const missing = Math.ceil((top + bytes) / pageSize) - pages;
    if (missing > 0) memory.grow(Math.max(missing, Math.min(fewestNewPages, mostPages - pages)));
  };
  const view = ({ pointer, length }: Vector): Float32Array =>
    new Float32Array(memory.buffer, pointer, length);
  return {
    kernels: wasmKernels(memory),
    view,
    allocate(length, initial) {
      const size = sizeOf(length);
      const known = released.get(size)?.pop();
      if (known === undefined) grow(size);
      const vector = { pointer: known ?? top, length };
      if (known === undefined) top += size;
      // Memory that was never used holds zeros, and is better not touched before it is needed.
      if (known !== undefined || initial !== 0) view(vector).fill(initial);
      return vector;
    },
    release({ pointer, length }) {
      const size = sizeOf(length);
      const pointers = released.get(size);
      if (pointers === undefined) released.set(size, [pointer]);
      else pointers.push(pointer);
    },
    reserve(lengths) {
      const left = new Map([...released].map(([size, pointers]) => [size, pointers.length]));
      let missing = 0;
      for (const length of lengths) {
        const size = sizeOf(length);
        const count = left.get(size) ?? 0;
        if (count > 0) left.set(size, count - 1);
        else missing += size;
      }
      grow(missing);
    },
  };
}

/** The same in plain arrays, with the reference evaluation: what runs where WebAssembly may not be compiled. */
export function createVectorArrays(): VectorStore<Float32Array> {
  return {
    kernels: arrayKernels(),
    allocate: (length, initial) => new Float32Array(length).fill(initial),
    release() {},
    reserve() {},
    view: (vector) => vector,
  };
}
