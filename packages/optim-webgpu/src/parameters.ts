import { OptimError } from "@mm/optim-core";
import type { ParameterDescription } from "@mm/optim-core/backend";
import { memo } from "@mm/optim-core/backend";
import { bindingAlignment, workingUsage } from "./device.ts";
import { bytesPerElement, type DType, largestBinding } from "./storage.ts";

/** A range of a buffer of the caller's. */
export interface WebgpuRange {
  readonly buffer: GPUBuffer;
  /** In bytes, a multiple of 4. Default 0. */
  readonly offset?: number | undefined;
  /** In elements. Default: `size`, or all that follows. */
  readonly length?: number | undefined;
  /** In bytes, as a `GPUBufferBinding` has it. */
  readonly size?: number | undefined;
  /** `"float16"`: two in a word, as `array<f16>` (shader-f16) and `pack2x16float` have them. Default `"float32"`. */
  readonly dtype?: DType | undefined;
}

/** Where an optimizer finds a parameter: a whole buffer of float32, a range of one, or a range of an arena. */
export type WebgpuParameter = GPUBuffer | WebgpuRange;

/** Where a parameter is. */
export interface ParameterRange {
  readonly buffer: GPUBuffer;
  /** In bytes. */
  readonly offset: number;
  /** In elements. */
  readonly length: number;
  readonly dtype: DType;
  /** Whether what follows up to the next multiple of 16 bytes is its own, and zero. */
  readonly padded: boolean;
}

export interface PlacedParameter extends ParameterRange {
  readonly name: string;
}

/** How an optimizer reaches parameters of a kind `P`: those of this package, or a host library's variables. */
export interface ParameterPort<P> {
  /** @throws OptimError `invalid-parameter` */
  describe(value: P, where: string): ParameterDescription;
  /** Where it is now. Cheap: called at every step where `moves`. */
  resolve(value: P): ParameterRange;
  /**
   * Whether parameters may be in another buffer from one step to the next, each alone in its own. Where they are not, those that share a
   * buffer share a dispatch.
   */
  readonly moves: boolean;
  /** Called before anything is submitted: what the host library has recorded comes first. */
  flush?(): void;
  /** Called when something was submitted that writes into parameters. */
  written?(values: readonly P[]): void;
}

/** Ranges of arenas by their offsets, by buffer. */
const arenas = /* @__PURE__ */ new WeakMap<GPUBuffer, ReadonlyMap<number, ArenaRange>>();

interface ArenaRange {
  readonly length: number;
  readonly dtype: DType;
  readonly size: number;
}

/** Makes the ranges of a buffer known as an arena's. */
export function registerArena(buffer: GPUBuffer, ranges: ReadonlyMap<number, ArenaRange>): void {
  arenas.set(buffer, ranges);
}

const bufferIds = /* @__PURE__ */ new WeakMap<GPUBuffer, number>();
let bufferCount = 0;

/** Parameters in buffers of the caller's. */
export function bufferPort(
  device: GPUDevice,
  adapter: GPUAdapter | undefined,
): ParameterPort<WebgpuParameter> {
  return {
    moves: false,
    resolve: (value) => rangeOf(value, "parameter"),
    describe(value, where) {
      const { buffer, offset, length, dtype } = rangeOf(value, where);
      requireUsable(buffer, where);
      requireRoom(device, adapter, { offset, bytes: bytesPerElement[dtype] * length }, where);
      const id = memo(bufferIds, buffer, () => (bufferCount += 1));
      return { shape: [length], identity: `${id}:${offset}:${length}`, master: dtype === "float16" };
    },
  };
}

/** @throws OptimError `invalid-parameter` */
export function rangeOf(value: WebgpuParameter, where: string): ParameterRange {
  const refuse = (expected: string, received: unknown, hint?: string): never => {
    throw new OptimError("invalid-parameter", where, {
      expected,
      received,
      ...(hint !== undefined && { hint }),
    });
  };
  const given: Partial<WebgpuRange> = isBuffer(value)
    ? { buffer: value }
    : (Object(value) as Partial<WebgpuRange>);
  const { buffer, offset = 0, size, dtype = "float32" } = given;
  if (!isBuffer(buffer)) return refuse("a GPUBuffer, or { buffer, offset, length, dtype }", value);
  const known = arenas.get(buffer)?.get(offset);
  if (known !== undefined && given.length === undefined && (size ?? known.size) === known.size) {
    return { buffer, offset, length: known.length, dtype: known.dtype, padded: true };
  }
  const bytes = bytesPerElement[dtype] as number | undefined;
  if (bytes === undefined) return refuse('the dtype "float32" or "float16"', dtype);
  if (!isCount(offset) || offset % 4 !== 0) return refuse("an offset that is a multiple of 4 bytes", offset);
  const length = given.length ?? (size ?? buffer.size - offset) / bytes;
  if (!isCount(length)) return refuse("a length in elements", length);
  // Words of two halves are written whole.
  const end = offset + Math.ceil((bytes * length) / 4) * 4;
  if (end > buffer.size) {
    return refuse(
      `a range within its buffer of ${buffer.size} bytes`,
      end,
      "A buffer of float16 has whole words of 4 bytes",
    );
  }
  return { buffer, offset, length, dtype, padded: false };
}

function isBuffer(value: unknown): value is GPUBuffer {
  const { size, usage, destroy } = Object(value) as Partial<GPUBuffer>;
  return typeof size === "number" && typeof usage === "number" && typeof destroy === "function";
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function requireUsable({ usage }: GPUBuffer, where: string): void {
  if ((usage & workingUsage) === workingUsage) return;
  throw new OptimError("invalid-parameter", where, {
    expected: "a buffer with the usages STORAGE, COPY_SRC and COPY_DST",
    received: usage,
  });
}

/** @throws OptimError `invalid-parameter` for what is more than a kernel can bind */
export function requireRoom(
  { limits }: GPUDevice,
  adapter: GPUAdapter | undefined,
  { offset, bytes }: { readonly offset: number; readonly bytes: number },
  where: string,
): void {
  const most = largestBinding(limits);
  // It is bound from where a binding may begin.
  const bound = bytes + (offset % bindingAlignment);
  if (bound <= most) return;
  const names = ["maxStorageBufferBindingSize", "maxBufferSize"] as const;
  const list = (of: GPUSupportedLimits): string => names.map((name) => `${name} ${of[name]}`).join(", ");
  throw new OptimError("invalid-parameter", where, {
    expected: `at most ${most} bytes, what this device binds at once (${list(limits)})`,
    received: bound,
    hint:
      (adapter === undefined
        ? "Give webgpuOptimizer the adapter too, to be told what it offers"
        : `The adapter offers ${list(adapter.limits)}`) +
      ": a device has more than the default where requestDevice() is given requiredLimits. Or divide the parameter",
  });
}

/**
 * Refuses ranges that share elements, which a step would update twice. Ranges that are the same are left to core, which knows where they
 * were written.
 *
 * @throws OptimError `duplicate-parameter`
 */
export function requireApart(parameters: readonly PlacedParameter[], who: string): void {
  const reached = new Map<
    GPUBuffer,
    { readonly name: string; readonly start: number; readonly end: number }
  >();
  const sorted = parameters.filter(({ length }) => length > 0).sort((a, b) => a.offset - b.offset);
  for (const { name, buffer, offset, length, dtype } of sorted) {
    const end = offset + bytesPerElement[dtype] * length;
    const before = reached.get(buffer);
    if (before !== undefined && offset < before.end && (offset !== before.start || end !== before.end)) {
      throw new OptimError("duplicate-parameter", `${who}: parameter ${JSON.stringify(name)}`, {
        expected: `no element that is in ${JSON.stringify(before.name)} too`,
        hint: "Give ranges of one buffer that do not overlap",
      });
    }
    if (before === undefined || end > before.end) reached.set(buffer, { name, start: offset, end });
  }
}
