import { OptimError } from "@mm/optim-core";
import { lengthOf, refuse } from "@mm/optim-core/backend";
import { isCount } from "@mm/optim-core/schema";
import { mostHeaderBytes } from "./encode.ts";
import { duplicateKey } from "./duplicate-key.ts";
import type { ByteSource } from "./source.ts";
import { arrayOf, bytesOf } from "./tensor.ts";

/** A tensor as the header describes it. */
interface Entry {
  readonly key: string;
  /** Any text: later versions of the format know more types. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Where its bytes are in the file. */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  /** The first bytes of the file, up to the first tensor. */
  readonly bytes: Uint8Array;
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: readonly Entry[];
}

/**
 * Reads the header, and checks it against the size of the file: tensors must be whole, next to each other, and fill the file to its end.
 *
 * @throws OptimError `invalid-state`; `storage-error` where reading fails
 */
export async function readHeader(source: ByteSource): Promise<Header> {
  const { size } = source;
  if (size < 10) refuseDamage("a safetensors file", `${size} bytes`);
  const prefix = await readExactly(source, 0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true));
  const start = 8 + length;
  if (start > size) refuseDamage(`a header within the ${size} bytes of the file`, length);
  if (length > mostHeaderBytes) refuseDamage(`a header of at most ${mostHeaderBytes} bytes`, length);
  const bytes = await readExactly(source, 0, start);

  const { __metadata__: given = {}, ...described } = parse(bytes.subarray(8));
  const metadata = new Map(Object.entries(objectOf(given, "__metadata__")));
  for (const [name, value] of metadata) {
    if (typeof value !== "string") refuseDamage(`a text as metadata ${name}`, value);
  }
  const entries = Object.entries(described).map(([key, entry]) => describedTensor(key, entry, start));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let reached = start;
  for (const { key, begin, end } of entries) {
    if (begin !== reached) refuseDamage(`${key} to begin at byte ${reached}`, begin);
    reached = end;
  }
  if (reached !== size) refuseDamage(`${reached} bytes, as the header says`, size);
  return { bytes, metadata: metadata as Map<string, string>, entries };
}

/** @throws OptimError `invalid-state` where the source ends before, `unsupported` where there is no memory for it */
export async function readExactly(
  source: ByteSource,
  begin: number,
  end: number,
  onBytes?: (count: number) => void,
): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    // A Buffer of Node is told apart by its `slice`, which copies nothing.
    bytes = bytesOf(await source.read(begin, end, onBytes));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const expected = `memory for ${end - begin} bytes`;
    throw new OptimError("unsupported", "safetensors", { expected, cause });
  }
  if (bytes.length !== end - begin) refuseDamage(`${end - begin} bytes from byte ${begin} on`, bytes.length);
  return bytes;
}

function parse(bytes: Uint8Array): { readonly [key: string]: unknown } {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (cause) {
    throw new OptimError("invalid-state", "safetensors", {
      expected: "a header in JSON",
      hint: damage,
      cause,
    });
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) {
    refuse("invalid-state", "safetensors", "each key of the header once", twice, {
      hint: "It stands there twice, and readers differ in which of the two they take",
    });
  }
  return objectOf(header, "the header");
}

function describedTensor(key: string, entry: unknown, start: number): Entry {
  const { dtype, shape, data_offsets: offsets } = objectOf(entry, key);
  if (typeof dtype !== "string") return refuseDamage(`${key} with a dtype`, dtype);
  if (!isCounts(shape)) return refuseDamage(`${key} with a shape`, shape);
  if (!isCounts(offsets) || offsets.length !== 2) return refuseDamage(`${key} with two offsets`, offsets);
  const [begin, end] = offsets as readonly [number, number];
  // Elements of a type that is not known here have no size that is known.
  const elementBytes = arrayOf(dtype)?.BYTES_PER_ELEMENT;
  const fits = elementBytes === undefined ? begin <= end : lengthOf(shape) * elementBytes === end - begin;
  if (!fits) refuseDamage(`${key} of ${end - begin} bytes`, shape);
  return { key, dtype, shape, begin: start + begin, end: start + end };
}

const isCounts = (value: unknown): value is readonly number[] => Array.isArray(value) && value.every(isCount);

function objectOf(value: unknown, where: string): { readonly [name: string]: unknown } {
  if (Object.prototype.toString.call(value) !== "[object Object]")
    refuseDamage(`an object as ${where}`, value);
  return value as { readonly [name: string]: unknown };
}

const damage = "The file is damaged, cut short, or something else";

/** @throws OptimError `invalid-state`, always */
export function refuseDamage(expected: string, received: unknown): never {
  return refuse("invalid-state", "safetensors", expected, received, { hint: damage });
}
