import { refuse } from "@mm/optim-core/backend";
import { FreeLists } from "./free-lists.ts";
import { WasmKernels } from "./kernels.ts";
import type { Vector } from "./vector.ts";
import { type Block, type SharedRoom, sharedRoom } from "./shared-room.ts";
import type { VectorStore } from "./vector-store.ts";
import {
  mostPages,
  newMemory,
  pageSize,
  type WasmMemory,
  type WasmNamespace,
  webAssembly,
} from "./webassembly.ts";

/** Vectors begin at multiples of a cache line. */
const alignment = 64;

/** A memory that grows, grows by a megabyte at least. */
const fewestNewPages = 16;

/** Bytes up to which a store is small. */
const mostShared = 2 ** 18;

/** A small store, in the memory that all of them share. */
interface Guest {
  readonly room: SharedRoom;
  readonly blocks: Block[];
  /** Bytes of all blocks. */
  size: number;
}

/** Vectors in a WebAssembly memory: in one that small stores share, or in one of its own that grows. */
export class VectorMemory implements VectorStore<Vector> {
  readonly kernels: WasmKernels;
  readonly #namespace: WasmNamespace;
  #memory: WasmMemory | undefined;
  #guest: Guest | undefined;
  /** The end of what is used of a memory of its own. */
  #top = 0;
  readonly #released = new FreeLists();
  #room: Vector | undefined;

  /** @throws OptimError `unsupported` where there is no memory for it */
  constructor(bytes: number = Number.POSITIVE_INFINITY) {
    this.#namespace = webAssembly() as WasmNamespace;
    if (bytes <= mostShared) this.#guest = { room: sharedRoom(this.#namespace), blocks: [], size: 0 };
    this.#memory = this.#guest?.room.memory ?? this.#ownMemory();
    this.kernels = new WasmKernels(this.#memory, { room: (bytes) => this.#roomOf(bytes) });
  }

  allocate(length: number, initial: number): Vector {
    const size = sizeOf(length);
    const released = this.#released.take(size);
    const vector = { pointer: released ?? this.#newPlace(size), length };
    // Memory that was never used holds zeros, and is not touched before it is needed.
    if (released !== undefined || initial !== 0) this.view(vector).fill(initial);
    return vector;
  }

  release({ pointer, length }: Vector): void {
    this.#released.give(pointer, sizeOf(length));
  }

  reserve(lengths: readonly number[]): void {
    const lacking = this.#released.lacking(lengths.map(sizeOf));
    const missing = sum(lacking);
    if (this.#guest === undefined) this.#grow(missing);
    else if (this.#guest.size + missing > mostShared) this.#moveOut(missing);
    // Elsewhere a place is only kept by having it.
    else for (const size of lacking) this.#released.give(this.#newPlace(size), size);
  }

  view({ pointer, length }: Vector): Float32Array {
    return new Float32Array((this.#memory as WasmMemory).buffer, pointer, length);
  }

  dispose(): void {
    this.#leave();
    this.#memory = undefined;
    this.kernels.unbind();
  }

  /** Room for kernels: one vector, which grows. */
  #roomOf(bytes: number): number {
    const before = this.#room;
    if (before !== undefined && 4 * before.length >= bytes) return before.pointer;
    if (bytes === 0) return 0;
    this.#room = this.allocate(Math.ceil(bytes / 4), 0);
    if (before !== undefined) this.release(before);
    return this.#room.pointer;
  }

  /** The address of so many zeros. */
  #newPlace(size: number): number {
    const guest = this.#guest;
    const block = guest && guest.size + size <= mostShared ? guest.room.take(size) : undefined;
    if (guest && block) {
      guest.blocks.push(block);
      guest.size += size;
      return block.pointer;
    }
    if (guest) this.#moveOut(size);
    else this.#grow(size);
    this.#top += size;
    return this.#top - size;
  }

  /** From the memory that is shared to one of its own, with room for more. Every vector stays at its address. */
  #moveOut(more: number): void {
    const { blocks } = this.#guest as Guest;
    const end = Math.max(0, ...blocks.map(({ pointer, size }) => pointer + size));
    const memory = this.#ownMemory();
    grow(memory, end + more);
    for (const { pointer, size } of blocks) {
      const from = new Uint8Array((this.#memory as WasmMemory).buffer, pointer, size);
      new Uint8Array(memory.buffer, pointer, size).set(from);
    }
    this.kernels.bind(memory);
    this.#memory = memory;
    this.#top = end;
    this.#leave();
  }

  #leave(): void {
    this.#guest?.room.give(this.#guest.blocks);
    this.#guest = undefined;
  }

  #grow(more: number): void {
    grow(this.#memory as WasmMemory, this.#top + more);
  }

  #ownMemory(): WasmMemory {
    return newMemory(this.#namespace, { initial: 0, maximum: mostPages });
  }
}

/** @throws OptimError `unsupported` */
function grow(memory: WasmMemory, bytes: number): void {
  const pages = memory.buffer.byteLength / pageSize;
  const missing = Math.ceil(bytes / pageSize) - pages;
  if (missing <= 0) return;
  try {
    memory.grow(Math.max(missing, Math.min(fewestNewPages, mostPages - pages)));
  } catch (cause) {
    refuse(
      "unsupported",
      "@mm/optim-wasm",
      "at most 4 GiB in all beside the parameters, on a system that has them free",
      bytes,
      { hint: "Give the parameters to several optimizers", cause },
    );
  }
}

function sizeOf(length: number): number {
  return Math.ceil((4 * length) / alignment) * alignment;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
