import { memo, refuse } from "@mm/optim-core/backend";
import { isCount } from "@mm/optim-core/schema";
import { type PlacedParameter, requireApart } from "./apart.ts";
import { arenaRangeAt } from "./arena-ranges.ts";
import { requireRoom } from "./limits.ts";
import type { ParameterPort, ParameterRange } from "./port.ts";
import { bytesPerElement, type DType } from "./storage.ts";
import { workingUsage } from "./usage.ts";

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

const rangeKeys: readonly string[] = ["buffer", "offset", "length", "size", "dtype"];

const bufferIds = /* @__PURE__ */ new WeakMap<GPUBuffer, number>();
let bufferCount = 0;

/**
 * The port of parameters in buffers of the caller's: whole buffers, ranges, arenas. For one optimizer.
 *
 * @param adapter the adapter that the device was requested from: messages then say what its limits would allow
 */
export function bufferPort(device: GPUDevice, adapter?: GPUAdapter): ParameterPort<WebgpuParameter> {
  let placed: readonly PlacedParameter[] = [];
  return {
    moves: false,
    resolve: (value) => rangeOf(value, "parameter"),
    describe(value, where) {
      const { buffer, offset, length, dtype } = rangeOf(value, where);
      requireUsable(buffer, where);
      requireRoom(device, { offset, bytes: bytesPerElement[dtype] * length }, where, adapter);
      const id = memo(bufferIds, buffer, () => (bufferCount += 1));
      return { shape: [length], identity: `${id}:${offset}:${length}`, master: dtype === "float16" };
    },
    admit(added, call) {
      const all = [...placed, ...added.map(({ name, value }) => ({ ...rangeOf(value, name), name }))];
      requireApart(all, call);
      placed = all;
    },
  };
}

/** @throws OptimError `invalid-parameter` */
function rangeOf(value: WebgpuParameter, where: string): ParameterRange {
  const given: Partial<WebgpuRange> = isBuffer(value)
    ? { buffer: value }
    : (Object(value) as Partial<WebgpuRange>);
  const { buffer, offset = 0, size, dtype = "float32" } = given;
  if (!isBuffer(buffer)) {
    return refuse("invalid-parameter", where, "a GPUBuffer, or { buffer, offset, length, dtype }", value);
  }
  const unknown = isBuffer(value) ? undefined : Object.keys(given).find((key) => !rangeKeys.includes(key));
  if (unknown !== undefined) {
    refuse("unknown-option", where, `one of ${rangeKeys.join(", ")}`, unknown);
  }
  const known = arenaRangeAt(buffer, offset);
  if (known !== undefined && given.length === undefined && (size ?? known.size) === known.size) {
    return { buffer, offset, length: known.length, dtype: known.dtype, padded: true };
  }
  const bytes = bytesPerElement[dtype] as number | undefined;
  if (bytes === undefined) refuse("invalid-parameter", where, 'the dtype "float32" or "float16"', dtype);
  if (!isCount(offset) || offset % 4 !== 0) {
    refuse("invalid-parameter", where, "an offset that is a multiple of 4 bytes", offset);
  }
  const length = given.length ?? (size ?? buffer.size - offset) / bytes;
  if (!isCount(length)) refuse("invalid-parameter", where, "a length in elements", length);
  if (size !== undefined && bytes * length > size) {
    refuse("invalid-parameter", where, `a length that ${size} bytes hold, its size`, length);
  }
  // Words of two halves are written whole.
  const end = offset + Math.ceil((bytes * length) / 4) * 4;
  if (end > buffer.size) {
    refuse("invalid-parameter", where, `a range within its buffer of ${buffer.size} bytes`, end, {
      hint: "A buffer of float16 has whole words of 4 bytes",
    });
  }
  return { buffer, offset, length, dtype, padded: false };
}

function isBuffer(value: unknown): value is GPUBuffer {
  const { size, usage, destroy } = Object(value) as Partial<GPUBuffer>;
  return typeof size === "number" && typeof usage === "number" && typeof destroy === "function";
}

function requireUsable({ usage }: GPUBuffer, where: string): void {
  if ((usage & workingUsage) === workingUsage) return;
  refuse("invalid-parameter", where, "a buffer with the usages STORAGE, COPY_SRC and COPY_DST", usage);
}
