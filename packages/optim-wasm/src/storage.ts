import { type AdmittedParameter, arrayKernels, refuse, type VectorKernels } from "@mm/optim-core/backend";
import type { Vector, VectorStore } from "./kernel/index.ts";
import { mostPages, pageSize } from "./kernel/webassembly.ts";

/** The facts about a parameter that storage has to know. */
export interface Place {
  readonly value: Float32Array;
  readonly length: number;
}

/** Where the vectors of one optimizer live, and how kernels reach its parameters. */
export interface Storage<V> {
  readonly kernels: VectorKernels<V>;
  /** Whether the kernels are compiled. */
  readonly compiled: boolean;
  /** Whether `open` and `close` copy. */
  readonly copies: boolean;
  /** Slots per parameter for which there is room. */
  readonly maxSlots: number;
  /** In elements. */
  readonly maxParameterLength: number;
  /** Of an arena: the shape of one of its arrays. */
  shapeOf?(value: Float32Array): readonly number[];
  /** @throws OptimError `invalid-parameter` for an array that the kernels cannot reach */
  admit(value: Float32Array, where: string): void;
  /**
   * The last word on new parameters: whether there is room for all that will be kept of them. Where it throws, nothing has changed.
   *
   * @throws OptimError `arena-full`, `unsupported`
   */
  claim(parameters: readonly AdmittedParameter<Float32Array>[]): void;
  /** Makes room for one vector per parameter, so that allocating them detaches no view. */
  reserve(parameters: readonly Place[]): void;
  /** A vector of the parameter's length, filled with `initial`. @throws OptimError `arena-full` */
  allocate(parameter: Place, initial: number): V;
  release(vector: V): void;
  /** Of an arena: the place of the parameter's gradient beside the others, where it is this optimizer's. It holds anything. */
  gradientPlace?(parameter: Place): V | undefined;
  /** Of an arena: whether a vector is such a place. */
  isGradientPlace?(vector: V): boolean;
  /** Of an arena: all these places, where this optimizer has all of them. */
  gradients?(): Float32Array | undefined;
  /** The elements, to use at once: what is allocated without having been reserved may detach them. */
  view(vector: V): Float32Array;
  /** The parameter as a vector; one is open at a time. */
  open(value: Float32Array): V;
  /** Ends what `open` began: the parameter takes the values of the vector. */
  close(value: Float32Array, vector: V): void;
  /** Frees everything. Nothing is called after it. */
  dispose(): void;
}

/** Parameters in arrays of the caller's: a step copies each into a vector that all of them share, and back. */
export function copyingStorage(store: VectorStore<Vector>): Storage<Vector> {
  let shared: Vector | undefined;
  let claimed = 0;
  // Sized before a step, so that a step finds all it needs and cannot fail half-way.
  const fit = (length: number): void => {
    if (shared !== undefined && length <= shared.length) return;
    const before = shared;
    shared = store.allocate(length, 0);
    if (before !== undefined) store.release(before);
  };
  const reserve = (parameters: readonly Place[]): void => {
    for (const { length } of parameters) fit(length);
    store.reserve(parameters.map(({ length }) => length));
  };
  return {
    kernels: store.kernels,
    compiled: true,
    copies: true,
    maxSlots: Number.POSITIVE_INFINITY,
    // Beside the vector that is shared there is the accumulator, and the slots of the rule, if it has any.
    maxParameterLength: mostElements / 2,
    admit() {},
    claim(parameters) {
      const total = parameters.reduce(
        (sum, { length, group, view }) =>
          sum + length * (1 + Number(group.evaluates)) + placesOfSlots(group, view),
        claimed,
      );
      const largest = Math.max(shared?.length ?? 0, ...parameters.map(({ length }) => length));
      requireRoom(largest + total);
      reserve(parameters);
      claimed = total;
    },
    reserve,
    allocate({ length }, initial) {
      fit(length);
      return store.allocate(length, initial);
    },
    release: (vector) => store.release(vector),
    view: (vector) => store.view(vector),
    open(value) {
      const vector = { pointer: (shared as Vector).pointer, length: value.length };
      store.view(vector).set(value);
      return vector;
    },
    close(value, vector) {
      value.set(store.view(vector));
    },
    dispose: () => store.dispose(),
  };
}

/** The places of float32 that the slots of a parameter take. */
const placesOfSlots = (
  group: AdmittedParameter<Float32Array>["group"],
  view: AdmittedParameter<Float32Array>["view"],
): number =>
  [...group.initialSlots(view).slots.keys()].reduce((sum, slot) => sum + group.slotPlaces(slot, view), 0);

const mostElements = (mostPages * pageSize) / 4;

/** Refuses at once what training would run out of memory for, when the slots are made. */
function requireRoom(elements: number): void {
  if (elements <= mostElements) return;
  refuse(
    "unsupported",
    "wasmOptimizer",
    `at most ${4 * mostElements} bytes for the accumulator and the slots of each parameter, and a copy of the largest`,
    4 * elements,
    { hint: "Give the parameters to several optimizers" },
  );
}

/** Without WebAssembly: the reference works on the caller's arrays themselves. */
export function arrayStorage(): Storage<Float32Array> {
  return {
    kernels: arrayKernels(),
    compiled: false,
    copies: false,
    maxSlots: Number.POSITIVE_INFINITY,
    maxParameterLength: Number.POSITIVE_INFINITY,
    admit() {},
    claim() {},
    reserve() {},
    allocate: ({ length }, initial) => new Float32Array(length).fill(initial),
    release() {},
    view: (vector) => vector,
    open: (value) => value,
    close() {},
    dispose() {},
  };
}

/** The memory of an arena, as an optimizer sees it. */
export interface ArenaRoom {
  /** Builds an optimizer on it. */
  build<T>(onStorage: <V>(storage: Storage<V>) => T): T;
}

const arenas = /* @__PURE__ */ new WeakMap<ArrayBufferLike, ArenaRoom>();

export function registerArena(buffer: ArrayBufferLike, room: ArenaRoom): void {
  arenas.set(buffer, room);
}

/** The arena in which an array lies, if it is in one. A program that makes no arena has none of the code that makes them. */
export function arenaOf(value: unknown): ArenaRoom | undefined {
  return ArrayBuffer.isView(value) ? arenas.get(value.buffer) : undefined;
}
