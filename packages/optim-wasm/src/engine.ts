import type { Capabilities } from "@mm/optim-core";
import {
  allOperations,
  type Engine,
  hostCapabilities,
  HostLossScaler,
  hostStages,
  memo,
  packed,
} from "@mm/optim-core/backend";
import { differentiate, type WasmLoss } from "./differentiate.ts";
import type { GradientPlaces } from "./gradient-places.ts";
import { requireApart } from "./overlap.ts";
import { requireFloat32, requireUnchanged } from "./parameters.ts";
import type { Storage } from "./storage.ts";

/** The capabilities of an optimizer of this package. */
export interface WasmCapabilities extends Capabilities {
  /**
   * Whether rules run as WebAssembly. `false` where it may not be compiled (no SIMD, or a content security policy without
   * `wasm-unsafe-eval`): then they are evaluated in TypeScript, with the same results to the bit, about ten times slower.
   */
  readonly compiled: boolean;
  /** Whether steps copy parameters into the kernels' memory and back. `false` for those of an arena. */
  readonly copies: boolean;
}

const backend = "wasm";

const bufferIds = /* @__PURE__ */ new WeakMap<ArrayBufferLike, number>();
let bufferCount = 0;

/** The same for two views of the same elements, in every optimizer. */
function identityOf({ buffer, byteOffset, length }: Float32Array): string {
  return `${memo(bufferIds, buffer, () => (bufferCount += 1))}:${byteOffset}:${length}`;
}

export function createEngine<V>(
  storage: Storage<V>,
  places: GradientPlaces<V>,
): Engine<WasmLoss, number, Float32Array, V, V, number> {
  const { kernels } = storage;
  const capabilities: WasmCapabilities = {
    ...hostCapabilities,
    maxParameterLength: storage.maxParameterLength,
    compiled: storage.compiled,
    copies: storage.copies,
    slotDtypes: ["float32", "bfloat16"],
  };
  const stages = hostStages<Float32Array, V>(kernels, {
    open: ({ value }) => storage.open(value),
    close: ({ value }, vector) => storage.close(value, vector),
  });
  const arrays = new Map<string, Float32Array>();
  const index = { seen: new Map(), arrays };
  return {
    backend,
    capabilities,
    maxSlots: storage.maxSlots,
    operations: allOperations,
    describe(value, where) {
      requireFloat32(value, where);
      storage.admit(value, where);
      return { shape: storage.shapeOf?.(value) ?? [value.length], identity: identityOf(value) };
    },
    admit(added, call) {
      const more = added.map(({ name, value }) => [name, value] as const);
      requireApart([...arrays, ...more], call);
      storage.claim(added);
      places.admit(added);
      for (const [name, value] of more) arrays.set(name, value);
    },
    reserve: (program, extents) => kernels.reserve(program, extents),
    allocate(parameter, initial, length = parameter.length) {
      places.see(parameter);
      return storage.allocate({ value: parameter.value, length }, initial);
    },
    allocateCopy(parameter) {
      requireUnchanged(parameter, "step");
      places.see(parameter);
      const vector = storage.allocate(parameter, 0);
      storage.view(vector).set(parameter.value);
      return vector;
    },
    release: (vector) => storage.release(vector),
    write(vector, data) {
      storage.view(vector).set(data);
      places.note(vector);
    },
    read: (vectors) => Promise.resolve(packed(vectors.map((vector) => storage.view(vector)))),
    readSync: (vectors) => packed(vectors.map((vector) => storage.view(vector))),
    async readParameters(parameters) {
      for (const parameter of parameters) requireUnchanged(parameter, "readParameters");
      return packed(parameters.map(({ value }) => value));
    },
    writeParameter(parameter, data) {
      requireUnchanged(parameter, "writeParameters");
      parameter.value.set(data);
    },
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve([...scalars]),
    differentiate(loss, request) {
      places.settle();
      const found = differentiate(storage, index, loss, request);
      // A first gradient becomes the accumulator; nothing else changes what the parameter has.
      for (const [parameter, gradient] of found.gradients) parameter.accumulator ??= gradient;
      places.take(found.gradients);
      return found;
    },
    accumulate(parameter, gradient) {
      const accumulator = parameter.accumulator as V;
      if (accumulator === gradient) return;
      kernels.accumulate(accumulator, gradient, 1, false);
      storage.release(gradient);
    },
    stages: {
      ...stages,
      check(items, request) {
        for (const { parameter } of items) requireUnchanged(parameter, "step");
        return stages.check(items, request);
      },
      run(items) {
        for (const { parameter } of items) requireUnchanged(parameter, "evaluation point");
        stages.run(items);
      },
    },
    createLossScaler: (settings) => new HostLossScaler(backend, settings),
    dispose: () => storage.dispose(),
  };
}
