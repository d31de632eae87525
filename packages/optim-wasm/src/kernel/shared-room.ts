import { memo } from "@mm/optim-core/backend";
import { FreeLists } from "./free-lists.ts";
import { newMemory, pageSize, type WasmMemory, type WasmNamespace } from "./webassembly.ts";

/** A place in a memory. */
export interface Block {
  readonly pointer: number;
  /** In bytes. */
  readonly size: number;
}

/** 16 MiB, of which the system provides those that are used. */
const pages = 256;

/**
 * One memory for many small stores: engines reserve 8 to 10 GB of addresses for each memory, however small. It never grows, so that no store
 * detaches the views of another.
 */
export class SharedRoom {
  readonly memory: WasmMemory;
  readonly #free = new FreeLists();
  #top = 0;

  constructor(namespace: WasmNamespace) {
    this.memory = newMemory(namespace, { initial: pages, maximum: pages });
  }

  /** A block of zeros, if there is room for one. */
  take(size: number): Block | undefined {
    const pointer = this.#free.take(size);
    if (pointer !== undefined) {
      new Uint8Array(this.memory.buffer, pointer, size).fill(0);
      return { pointer, size };
    }
    if (this.#top + size > pages * pageSize) return undefined;
    this.#top += size;
    return { pointer: this.#top - size, size };
  }

  give(blocks: readonly Block[]): void {
    for (const { pointer, size } of blocks) this.#free.give(pointer, size);
  }
}

/** Held by the stores in it alone: with the last of them it goes. */
interface Place {
  room?: WeakRef<SharedRoom>;
}

const rooms = /* @__PURE__ */ new WeakMap<WasmNamespace, Place>();

/** @throws OptimError `unsupported` where there is no memory for it */
export function sharedRoom(namespace: WasmNamespace): SharedRoom {
  const place = memo(rooms, namespace, (): Place => ({}));
  const known = place.room?.deref();
  if (known !== undefined) return known;
  const made = new SharedRoom(namespace);
  place.room = new WeakRef(made);
  return made;
}
