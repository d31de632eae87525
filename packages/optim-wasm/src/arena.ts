import { isOptimError, OptimError } from "@mm/optim-core";
import { arrayKernels, refuse, type VectorKernels } from "@mm/optim-core/backend";
import { kernelsAvailable, type Vector, wasmKernels } from "./kernel/index.ts";
import {
  mostPages,
  newMemory,
  pageSize,
  type WasmMemory,
  type WasmNamespace,
  webAssembly,
} from "./kernel/webassembly.ts";
import { arenaOf, type ArenaRoom, type Place, registerArena, type Storage } from "./storage.ts";

/** Float32Arrays by name, in one memory. They hold zeros at first, and are never moved or detached. */
export type Arena<Name extends string = string> = { readonly [K in Name]: Float32Array };

export interface ArenaOptions {
  /** Slots per parameter for which there is room: 2 for Adam, 3 with amsgrad, 1 for momentum. Default 4. */
  readonly slots?: number;
}

/**
 * Memory for parameters that an optimizer updates where they are, without copying them: one WebAssembly memory of fixed size, which
 * also has the room for what `wasmOptimizer` needs beside each parameter (its accumulator, the gradient of a backward in a window,
 * and slots). What is not used is reserved address space only.
 *
 * ```ts
 * const arena = createArena({ w1: 784 * 128, b1: 128 });
 * arena.w1.set(initialWeights);
 * const optimizer = wasmOptimizer(adam(), arena);
 * ```
 *
 * Several optimizers may have parameters in one arena, each some of them or the same ones as long as there is room; `dispose()` gives
 * it back. Arrays begin at multiples of 256 bytes, and what lies between them stays zero. The memory is freed when neither an array nor
 * an optimizer refers to it.
 *
 * @param lengths elements of each array
 * @throws OptimError `empty-parameters`, `invalid-option` for lengths that are no counts and for more than 4 GiB in all,
 * `unknown-option`, `unsupported` where there is no memory for it
 */
export function createArena<const Name extends string>(
  lengths: { readonly [K in Name]: number },
  options: ArenaOptions = {},
): Arena<Name> {
  const entries = checkedLengths(lengths);
  const { slots = 4 } = checkedOptions(options);
  const memory = new ArenaMemory(
    entries.map(([, length]) => length),
    slots,
  );
  return Object.freeze(
    Object.fromEntries(entries.map(([name], index) => [name, memory.arrays[index]])),
  ) as Arena<Name>;
}

/** An array for a parameter, and the cells of its size that follow it: the room for what optimizers keep of it. */
interface Region {
  readonly array: Float32Array;
  readonly free: number[];
  /** Cells that optimizers may take, whether they have or not. */
  claimed: number;
}

const alignment = 256;

/** Beside the slots: the accumulator, and the gradient of a backward while another is pending. */
const cellsBesideSlots = 2;

class ArenaMemory implements ArenaRoom {
  readonly slots: number;
  readonly arrays: Float32Array[] = [];
  /** By the addresses of the array and of its cells. */
  readonly regions: Map<number, Region> = new Map();
  /** Absent where WebAssembly may not be compiled or has no memory: then `buffer` is a plain one. */
  readonly memory: WasmMemory | undefined;
  readonly buffer: ArrayBufferLike;

  constructor(lengths: readonly number[], slots: number) {
    const cells = 1 + cellsBesideSlots + slots;
    const bytes = lengths.reduce((sum, length) => sum + cells * sizeOf(length), 0);
    const pages = Math.ceil(bytes / pageSize);
    if (pages > mostPages) {
      throw new OptimError("invalid-option", "createArena: lengths", {
        expected: `at most ${mostPages * pageSize} bytes, with the room for ${slots} slots`,
        received: bytes,
        hint: "Ask for fewer slots, or make several arenas, with an optimizer each",
      });
    }
    this.slots = slots;
    this.memory = kernelsAvailable() ? memoryOf(pages) : undefined;
    this.buffer = this.memory?.buffer ?? plainMemory(pages * pageSize);
    let address = 0;
    for (const length of lengths) {
      const region: Region = { array: new Float32Array(this.buffer, address, length), free: [], claimed: 0 };
      this.arrays.push(region.array);
      for (let cell = 0; cell < cells; cell += 1) {
        this.regions.set(address, region);
        if (cell > 0) region.free.push(address);
        address += sizeOf(length);
      }
    }
    registerArena(this.buffer, this);
  }

  build<T>(slotsNeeded: () => number, onStorage: <V>(storage: Storage<V>) => T): T {
    const { memory, buffer } = this;
    return memory === undefined
      ? onStorage(new ArenaStorage(this, plainLayout(buffer), slotsNeeded))
      : onStorage(new ArenaStorage(this, compiledLayout(memory), slotsNeeded));
  }
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

/** How the vectors of a kind lie in an arena. */
interface Layout<V> {
  readonly kernels: VectorKernels<V>;
  readonly compiled: boolean;
  at(pointer: number, length: number): V;
  pointerOf(vector: V): number;
  view(vector: V): Float32Array;
}

function compiledLayout(memory: WasmMemory): Layout<Vector> {
  return {
    kernels: wasmKernels(memory),
    compiled: true,
    at: (pointer, length) => ({ pointer, length }),
    pointerOf: ({ pointer }) => pointer,
    view: ({ pointer, length }) => new Float32Array(memory.buffer, pointer, length),
  };
}

function plainLayout(buffer: ArrayBufferLike): Layout<Float32Array> {
  return {
    kernels: arrayKernels(),
    compiled: false,
    at: (pointer, length) => new Float32Array(buffer, pointer, length),
    pointerOf: ({ byteOffset }) => byteOffset,
    view: (vector) => vector,
  };
}

/** Parameters in an arena: kernels work on them where they are. */
class ArenaStorage<V> implements Storage<V> {
  readonly kernels: VectorKernels<V>;
  readonly compiled: boolean;
  readonly copies = false;
  readonly maxSlots: number;
  readonly maxParameterLength: number;
  readonly #arena: ArenaMemory;
  readonly #layout: Layout<V>;
  readonly #slotsNeeded: () => number;
  readonly #claimed = new Set<Region>();

  constructor(arena: ArenaMemory, layout: Layout<V>, slotsNeeded: () => number) {
    this.kernels = layout.kernels;
    this.compiled = layout.compiled;
    this.maxSlots = arena.slots;
    this.maxParameterLength = Math.max(...arena.arrays.map(({ length }) => length));
    this.#arena = arena;
    this.#layout = layout;
    this.#slotsNeeded = slotsNeeded;
  }

  admit(value: Float32Array, where: string): void {
    const array =
      arenaOf(value) === this.#arena ? this.#arena.regions.get(value.byteOffset)?.array : undefined;
    if (array?.byteOffset === value.byteOffset && array.length === value.length) return;
    throw new OptimError("invalid-parameter", where, {
      expected: "a whole array of the arena in which the other parameters are",
      received: value,
      hint: "Give arrays of different kinds to optimizers of their own",
    });
  }

  /** Claims the room for all that this optimizer may take, so that two of them on one parameter cannot run out of it later. */
  claim(parameters: readonly Place[]): void {
    const claim = this.#claim;
    const cells = cellsBesideSlots + this.#arena.slots;
    const regions = new Set(parameters.map(({ value }) => this.#regionAt(value.byteOffset)));
    for (const region of this.#claimed) regions.delete(region);
    // All of it or nothing: who is refused holds no room.
    for (const { claimed } of regions) if (claimed + claim > cells) throw full(claim, cells - claimed);
    for (const region of regions) {
      region.claimed += claim;
      this.#claimed.add(region);
    }
  }

  /** What was claimed is there. */
  reserve(): void {}

  allocate(parameter: Place, initial: number): V {
    const pointer = this.#regionAt(parameter.value.byteOffset).free.shift();
    if (pointer === undefined) throw full(1, 0);
    const vector = this.#layout.at(pointer, parameter.length);
    this.view(vector).fill(initial);
    return vector;
  }

  release(vector: V): void {
    const pointer = this.#layout.pointerOf(vector);
    this.#regionAt(pointer).free.push(pointer);
  }

  view(vector: V): Float32Array {
    return this.#layout.view(vector);
  }

  open({ byteOffset, length }: Float32Array): V {
    return this.#layout.at(byteOffset, length);
  }

  close(): void {}

  dispose(): void {
    for (const region of this.#claimed) region.claimed -= this.#claim;
    this.#claimed.clear();
  }

  get #claim(): number {
    return cellsBesideSlots + Math.min(this.#slotsNeeded(), this.#arena.slots);
  }

  #regionAt(pointer: number): Region {
    return this.#arena.regions.get(pointer) as Region;
  }
}

function full(needed: number, room: number): OptimError {
  return new OptimError("arena-full", "wasmOptimizer", {
    expected: `room for ${needed} vectors beside each parameter of the arena`,
    received: room,
    hint: "Make the arena with a larger `slots`, or dispose of another optimizer on these parameters",
  });
}

/** Cells of arrays without elements have a place of their own too, which tells them apart. */
function sizeOf(length: number): number {
  return Math.max(1, Math.ceil((4 * length) / alignment)) * alignment;
}

function checkedLengths<Name extends string>(lengths: { readonly [K in Name]: number }): [Name, number][] {
  if (typeof lengths !== "object" || (lengths as unknown) === null) {
    throw new OptimError("invalid-option", "createArena: lengths", {
      expected: "a record { name: length }",
      received: lengths,
    });
  }
  const entries = Object.entries(lengths) as [Name, number][];
  if (entries.length === 0) {
    throw new OptimError("empty-parameters", "createArena: lengths", { expected: "at least one array" });
  }
  for (const [name, length] of entries)
    requireCount(length, `createArena: the length of ${JSON.stringify(name)}`);
  return entries;
}

function checkedOptions(options: ArenaOptions): ArenaOptions {
  if (Object(options) !== options) {
    throw new OptimError("invalid-option", "createArena: options", {
      expected: "an object",
      received: options,
    });
  }
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (name !== "slots") {
      throw new OptimError("unknown-option", "createArena", { expected: "slots", received: name });
    }
    if (value !== undefined) requireCount(value, "createArena: slots");
  }
  return options;
}

function requireCount(value: unknown, where: string): void {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return;
  throw new OptimError("invalid-option", where, { expected: "a count", received: value });
}
