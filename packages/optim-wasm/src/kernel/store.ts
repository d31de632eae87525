import { OptimError } from "@mm/optim-core";
import { arrayKernels, type VectorKernels } from "@mm/optim-core/backend";
import { type Vector, WasmKernels } from "./kernels.ts";
import { mostPages, pageSize, type WasmMemory, type WasmNamespace, webAssembly } from "./webassembly.ts";

/** Vectors of float32, with the kernels that work on them. */
export interface VectorStore<V> {
  readonly kernels: VectorKernels<V>;
  /**
   * A vector of `length` elements, filled with `initial`. May grow the memory, which detaches views made before.
   *
   * @throws OptimError `unsupported` where there is no memory left; nothing has changed then
   */
  allocate(length: number, initial: number): V;
  /** Gives a vector back: the next one of the same length takes its place. */
  release(vector: V): void;
  /** Makes room, so that vectors of all these lengths can be allocated without growing the memory. @throws OptimError `unsupported` */
  reserve(lengths: readonly number[]): void;
  /** The elements of a vector, to use at once: the next `allocate` or `reserve` may detach it. */
  view(vector: V): Float32Array;
  /** Lets go of the memory, whoever still holds the store. Nothing else is called after it. */
  dispose(): void;
}

/** Vectors begin at multiples of a cache line. */
const alignment = 64;

/** A memory that grows, grows by a megabyte at least. */
const fewestNewPages = 16;

/**
 * Storage in a private WebAssembly memory that grows as needed, up to 4 GiB, and never shrinks.
 *
 * @throws what `new WebAssembly.Module` throws where `kernelsAvailable()` is `false`
 */
export function createVectorMemory(): VectorStore<Vector> {
  return new VectorMemory();
}

class VectorMemory implements VectorStore<Vector> {
  readonly kernels: WasmKernels;
  #memory: WasmMemory | undefined;
  #top = 0;
  readonly #released = new Map<number, number[]>();

  constructor() {
    // Not `new (… as …).Memory()`: TypeScript 7.0 drops the parentheses with the assertion.
    const { Memory } = webAssembly() as WasmNamespace;
    const memory = new Memory({ initial: 0, maximum: mostPages });
    this.kernels = new WasmKernels(memory, false);
    this.#memory = memory;
  }

  allocate(length: number, initial: number): Vector {
    const size = sizeOf(length);
    const pointer = this.#released.get(size)?.pop();
    if (pointer === undefined) this.#grow(size);
    const vector = { pointer: pointer ?? this.#top, length };
    if (pointer === undefined) this.#top += size;
    // Memory that was never used holds zeros, and is not touched before it is needed.
    if (pointer !== undefined || initial !== 0) this.view(vector).fill(initial);
    return vector;
  }

  release({ pointer, length }: Vector): void {
    const size = sizeOf(length);
    const pointers = this.#released.get(size);
    if (pointers === undefined) this.#released.set(size, [pointer]);
    else pointers.push(pointer);
  }

  reserve(lengths: readonly number[]): void {
    const left = new Map([...this.#released].map(([size, pointers]) => [size, pointers.length]));
    let missing = 0;
    for (const size of lengths.map(sizeOf)) {
      const count = left.get(size) ?? 0;
      if (count > 0) left.set(size, count - 1);
      else missing += size;
    }
    this.#grow(missing);
  }

  view({ pointer, length }: Vector): Float32Array {
    return new Float32Array((this.#memory as WasmMemory).buffer, pointer, length);
  }

  dispose(): void {
    this.#memory = undefined;
    this.kernels.unbind();
  }

  #grow(bytes: number): void {
    const memory = this.#memory as WasmMemory;
    const pages = memory.buffer.byteLength / pageSize;
    const missing = Math.ceil((this.#top + bytes) / pageSize) - pages;
    if (missing <= 0) return;
    try {
      memory.grow(Math.max(missing, Math.min(fewestNewPages, mostPages - pages)));
    } catch (cause) {
      throw new OptimError("unsupported", "@mm/optim-wasm", {
        expected: "to keep no more than 4 GiB in all beside the parameters, and that the system has them",
        received: this.#top + bytes,
        hint: "Give the parameters to several optimizers",
        cause,
      });
    }
  }
}

function sizeOf(length: number): number {
  return Math.ceil((4 * length) / alignment) * alignment;
}

/** The same in plain arrays, with the reference evaluation: what runs where WebAssembly may not be compiled. */
export function createVectorArrays(): VectorStore<Float32Array> {
  return {
    kernels: arrayKernels(),
    allocate: (length, initial) => new Float32Array(length).fill(initial),
    release() {},
    reserve() {},
    view: (vector) => vector,
    dispose() {},
  };
}
