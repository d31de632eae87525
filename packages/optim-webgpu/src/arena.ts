import { refuse } from "@mm/optim-core/backend";
import { checkSchema, integerFrom, oneOf, type Schema } from "@mm/optim-core/schema";
import { registerArena } from "./arena-ranges.ts";
import { aDevice, anAdapter, createBuffer } from "./device.ts";
import { queueOf } from "./device-queue.ts";
import { largestBinding, requireRoom } from "./limits.ts";
import { bytesPerElement, chunkLengths, type DType, layOut, type WebgpuBinding } from "./storage.ts";

/** Ranges by name, in as few buffers as the device allows. They hold zeros at first. */
export type Arena<Name extends string = string> = { readonly [K in Name]: WebgpuBinding };

export interface ArenaOptions {
  /** Default `"float32"`. */
  readonly dtype?: DType;
  /** For its limits in messages. */
  readonly adapter?: GPUAdapter;
}

/**
 * Memory for parameters that an optimizer updates with one dispatch, however many they are: one buffer, or one for every
 * `maxStorageBufferBindingSize` bytes (128 MiB by default).
 *
 * ```ts
 * const arena = createArena(device, { w1: 784 * 128, b1: 128 });
 * device.queue.writeBuffer(arena.w1.buffer, arena.w1.offset, initialWeights);
 * const optimizer = webgpuOptimizer(adam(), arena, { device });
 * ```
 *
 * Its results are bindings: `{ binding: 0, resource: arena.w1 }`, of exactly the length asked for (an empty one has 4 bytes, since no
 * binding is empty). Each begins at a multiple of 256 bytes; the padding between them is zero and must stay so. In one dispatch WebGPU
 * lets ranges of one buffer all be read, or all be written, but not some of each.
 *
 * Buffers have the usages STORAGE, COPY_SRC and COPY_DST. They are the caller's: `arena.w1.buffer.destroy()` frees them, as garbage
 * collection does.
 *
 * @param lengths elements of each range
 * @throws OptimError `empty-parameters`, `invalid-option` for lengths that are no counts, `invalid-parameter` for a range that is more
 * than the device binds at once, `unknown-option`, `device-lost`
 */
export function createArena<const Name extends string>(
  device: GPUDevice,
  lengths: { readonly [K in Name]: number },
  options: ArenaOptions = {},
): Arena<Name> {
  checkSchema("invalid-option", "createArena: device", device, aDevice);
  queueOf(device).requireLive("createArena");
  checkSchema("invalid-option", "createArena: options", options, optionsSchema());
  const { dtype = "float32", adapter } = options;
  const entries = checkedLengths(lengths);
  const bytes = bytesPerElement[dtype];
  for (const [name, length] of entries) {
    const where = `createArena: lengths.${name}`;
    requireRoom(device, { offset: 0, bytes: bytes * length }, where, adapter);
  }
  const vectors = entries.map(([, length]) => ({ length, dtype }));
  const places = layOut(vectors, bytes, largestBinding(device.limits));
  const buffers = new Map<number, GPUBuffer>();
  for (const [chunk, length] of chunkLengths(places)) {
    buffers.set(chunk, createBuffer(device, `arena ${chunk}`, bytes * length));
  }
  const bindings = places.map(({ chunk, start, length }): WebgpuBinding => {
    const size = Math.max(4, Math.ceil((bytes * length) / 4) * 4);
    return Object.freeze({ buffer: buffers.get(chunk) as GPUBuffer, offset: bytes * start, size });
  });
  for (const buffer of buffers.values()) {
    const ranges = bindings.flatMap(({ buffer: home, offset, size }, index) => {
      const { length } = places[index] as { readonly length: number };
      return home === buffer ? [[offset, { length, dtype, size }] as const] : [];
    });
    registerArena(buffer, new Map(ranges));
  }
  return Object.freeze(
    Object.fromEntries(entries.map(([name], index) => [name, bindings[index]])),
  ) as Arena<Name>;
}

const optionsSchema = (): Schema => ({
  fields: { "dtype?": oneOf("float32", "float16"), "adapter?": anAdapter },
});

function checkedLengths<Name extends string>(lengths: { readonly [K in Name]: number }): [Name, number][] {
  const where = "createArena: lengths";
  checkSchema("invalid-option", where, lengths, { each: integerFrom(0) });
  const entries = Object.entries(lengths) as [Name, number][];
  if (entries.length === 0) refuse("empty-parameters", where, "at least one range", "none");
  return entries;
}
