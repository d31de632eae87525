import { isOptimError } from "@mm/optim-core";
import { lengthOf, matrixViewOf, refuse } from "@mm/optim-core/backend";
import { kernelsAvailable } from "./kernel/index.ts";
import {
  mostPages,
  newMemory,
  pageSize,
  type WasmMemory,
  type WasmNamespace,
  webAssembly,
} from "./kernel/webassembly.ts";
import { matrixLayout } from "./kernel/workspace.ts";

/** An array for a parameter, and the cells of its size: the room for what optimizers keep of it. */
export interface Region {
  readonly array: Float32Array;
  readonly shape: readonly number[];
  /** The address of the cell for its gradient, beside those of the other arrays. */
  readonly gradient: number;
  /** The optimizer that has this cell. */
  owner: object | undefined;
  /** Addresses of other cells that nothing is in. */
  readonly free: number[];
  /** Cells that optimizers may take, taken ones included. */
  claimed: number;
}

const alignment = 256;

/** Beside the slots: the accumulator, and the gradient of a backward while another is pending. */
export const cellsBesideSlots = 2;

/**
 * The memory of an arena, by kind: all arrays, all accumulators with room for 1 + n numbers behind them, all gradients of a second backward, and
 * each slot of all. Within a kind the cells of the arrays are in their order.
 */
export class ArenaMemory {
  readonly slots: number;
  /** In the order that was given. */
  readonly regions: readonly Region[];
  /** By the addresses of the array and of its cells. */
  readonly byAddress: ReadonlyMap<number, Region>;
  /** Absent where WebAssembly may not be compiled or has no memory: then `buffer` is a plain one. */
  readonly memory: WasmMemory | undefined;
  readonly buffer: ArrayBufferLike;
  /** All accumulators, and room for one number, and one for each. */
  readonly gradients: Float32Array;
  /** Where kernels may write what they need beside vectors, and how many bytes. */
  readonly room: { readonly address: number; readonly bytes: number };

  constructor(shapes: readonly (readonly number[])[], slots: number) {
    const lengths = shapes.map(lengthOf);
    const room = roomFor(shapes);
    const kinds = 1 + cellsBesideSlots + slots;
    const kindSize = lengths.reduce((sum, length) => sum + sizeOf(length), 0);
    const tail = 1 + lengths.length;
    const gradients = kindSize;
    const others = gradients + kindSize + sizeOf(tail);
    const end = others + (kinds - 2) * kindSize;
    const pages = Math.ceil((end + room) / pageSize);
    requirePages(pages, slots);
    this.slots = slots;
    this.room = { address: end, bytes: room };
    this.memory = kernelsAvailable() ? memoryOf(pages) : undefined;
    this.buffer = this.memory?.buffer ?? plainMemory(pages * pageSize);
    this.gradients = new Float32Array(this.buffer, gradients, kindSize / 4 + tail);
    const regions: Region[] = [];
    const byAddress = new Map<number, Region>();
    let offset = 0;
    for (const [index, length] of lengths.entries()) {
      const shape = shapes[index] as readonly number[];
      const free = Array.from({ length: kinds - 2 }, (_, kind) => others + kind * kindSize + offset);
      const gradient = gradients + offset;
      const array = new Float32Array(this.buffer, offset, length);
      const region: Region = { array, shape, gradient, owner: undefined, free, claimed: 0 };
      regions.push(region);
      for (const address of [offset, gradient, ...free]) byAddress.set(address, region);
      offset += sizeOf(length);
    }
    this.regions = regions;
    this.byAddress = byAddress;
  }

  get arrays(): readonly Float32Array[] {
    return this.regions.map(({ array }) => array);
  }
}

/** Reductions per row and column, and matrices, for which there is room. */
const [mostLines, mostMatrices] = [8, 2];

/** Room for a rule for matrices on the largest of them: none where no shape was given. It is reserved address space until it is used. */
function roomFor(shapes: readonly (readonly number[])[]): number {
  const rooms = shapes
    .filter(({ length }) => length > 1)
    .map((shape) => {
      const view = matrixViewOf(shape);
      const lines = mostLines * (12 * (view.rows + view.cols) + alignment);
      return matrixLayout(view).end + mostMatrices * 4 * view.rows * view.cols + lines + alignment;
    });
  return Math.ceil(Math.max(0, ...rooms) / alignment) * alignment;
}

function requirePages(pages: number, slots: number): void {
  if (pages <= mostPages) return;
  refuse(
    "invalid-option",
    "createArena: lengths",
    `at most ${mostPages * pageSize} bytes, with the room for ${slots} slots`,
    pages * pageSize,
    { hint: "Ask for fewer slots, or make several arenas, with an optimizer each" },
  );
}

/** Absent where the system has no addresses for it: engines reserve 8 to 10 GB of them for each memory. */
function memoryOf(pages: number): WasmMemory | undefined {
  try {
    return newMemory(webAssembly() as WasmNamespace, { initial: pages, maximum: pages });
  } catch (error) {
    if (isOptimError(error)) return undefined;
    throw error;
  }
}

/** @throws OptimError `unsupported` */
function plainMemory(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    return refuse("unsupported", "createArena", "that the system has the memory", bytes, {
      hint: "Ask for fewer slots",
      cause,
    });
  }
}

/** Cells of arrays without elements have a place of their own too, which tells them apart. */
function sizeOf(length: number): number {
  return Math.max(1, Math.ceil((4 * length) / alignment)) * alignment;
}
