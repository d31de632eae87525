import { OptimError } from "@mm/optim-core";
import { type AdmittedParameter, arrayKernels, refuse, type VectorKernels } from "@mm/optim-core/backend";
import { type ArenaMemory, cellsBesideSlots, type Region } from "./arena-memory.ts";
import { type Vector, wasmKernels } from "./kernel/index.ts";
import type { WasmMemory } from "./kernel/webassembly.ts";
import type { Place, Storage } from "./storage.ts";

/** Builds an optimizer on an arena. See {@link ArenaRoom.build}. */
export function buildOnArena<T>(arena: ArenaMemory, onStorage: <V>(storage: Storage<V>) => T): T {
  return arena.memory === undefined
    ? onStorage(new ArenaStorage(arena, plainLayout(arena.buffer)))
    : onStorage(new ArenaStorage(arena, compiledLayout(arena, arena.memory)));
}

/** How the vectors of a kind lie in an arena. */
interface Layout<V> {
  readonly kernels: VectorKernels<V>;
  readonly compiled: boolean;
  at(pointer: number, length: number): V;
  pointerOf(vector: V): number;
  view(vector: V): Float32Array;
}

function compiledLayout({ room }: ArenaMemory, memory: WasmMemory): Layout<Vector> {
  return {
    kernels: wasmKernels(memory, {
      room(bytes) {
        if (bytes > room.bytes) refuseRoom(bytes, room.bytes);
        return room.address;
      },
    }),
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
  /** The vectors that this optimizer may take, by region. */
  readonly #claims = new Map<Region, number>();

  constructor(arena: ArenaMemory, layout: Layout<V>) {
    this.kernels = layout.kernels;
    this.compiled = layout.compiled;
    this.maxSlots = arena.slots;
    this.maxParameterLength = Math.max(...arena.arrays.map(({ length }) => length));
    this.#arena = arena;
    this.#layout = layout;
  }

  shapeOf({ byteOffset }: Float32Array): readonly number[] {
    return this.#regionAt(byteOffset).shape;
  }

  admit(value: Float32Array, where: string): void {
    const array =
      value.buffer === this.#arena.buffer ? this.#arena.byAddress.get(value.byteOffset)?.array : undefined;
    if (array?.byteOffset === value.byteOffset && array.length === value.length) return;
    refuse(
      "invalid-parameter",
      where,
      "a whole array of the arena in which the other parameters are",
      value,
      { hint: "Give arrays of different kinds to optimizers of their own" },
    );
  }

  /** Claims the room for all that this optimizer may take, so that two of them on one parameter cannot run out of it later. */
  claim(parameters: readonly AdmittedParameter<Float32Array>[]): void {
    const { slots } = this.#arena;
    const claims = parameters.map(({ value, group }) => {
      const vectors = group.everySlot.slots.size + Number(group.evaluates);
      const needed = cellsBesideSlots + Math.min(vectors, slots);
      return [this.#regionAt(value.byteOffset), needed] as const;
    });
    // All or nothing: an optimizer that is refused holds no room.
    for (const [{ claimed }, needed] of claims) {
      const room = cellsBesideSlots + slots - claimed;
      if (needed > room) throw full(needed, room);
    }
    for (const [region, needed] of claims) {
      region.claimed += needed;
      region.owner ??= this;
      this.#claims.set(region, needed);
    }
  }

  /** Does nothing: all room is claimed when parameters are admitted. */
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
    const region = this.#regionAt(pointer);
    // The cell of the gradient stays its owner's, and reads as no gradient.
    if (pointer === region.gradient) this.view(vector).fill(0);
    else region.free.push(pointer);
  }

  gradientPlace(parameter: Place): V | undefined {
    const region = this.#regionAt(parameter.value.byteOffset);
    return region.owner === this ? this.#layout.at(region.gradient, parameter.length) : undefined;
  }

  isGradientPlace(vector: V): boolean {
    const pointer = this.#layout.pointerOf(vector);
    return this.#regionAt(pointer).gradient === pointer;
  }

  gradients(): Float32Array | undefined {
    return this.#arena.regions.every(({ owner }) => owner === this) ? this.#arena.gradients : undefined;
  }

  view(vector: V): Float32Array {
    return this.#layout.view(vector);
  }

  open({ byteOffset, length }: Float32Array): V {
    return this.#layout.at(byteOffset, length);
  }

  close(): void {}

  dispose(): void {
    for (const [region, claim] of this.#claims) {
      region.claimed -= claim;
      if (region.owner === this) region.owner = undefined;
    }
    this.#claims.clear();
  }

  #regionAt(pointer: number): Region {
    return this.#arena.byAddress.get(pointer) as Region;
  }
}

function refuseRoom(needed: number, room: number): never {
  return refuse(
    "arena-full",
    "wasmOptimizer",
    `at most ${room} bytes of room for what a rule computes with`,
    needed,
    {
      hint: "Give the arena the shapes of matrices, createArena({ w: [128, 784] }), or the optimizer arrays that are in none",
    },
  );
}

function full(needed: number, room: number): OptimError {
  return new OptimError("arena-full", "wasmOptimizer", {
    expected: `room for ${needed} vectors beside each parameter of the arena`,
    received: room,
    hint: "Make the arena with a larger `slots`, or dispose of another optimizer on these parameters",
  });
}
