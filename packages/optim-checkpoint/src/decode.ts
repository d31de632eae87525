import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { crc32 } from "./crc32.ts";
import { checksumName, checksumText, mostHeaderBytes, noChecksum } from "./encode.ts";
import { counter, type ProgressOptions } from "./progress.ts";
import { type ByteInput, type ByteSource, sourceOf } from "./source.ts";
import { arrayOf, bytesOf, type Dtype, isCount, sizeOf, type Tensor } from "./tensor.ts";

/** What a safetensors file holds. */
export interface SafetensorsContent {
  /** By key, in the order of the file. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads any safetensors file. The header is checked against the size of the file before anything is allocated: tensors must be whole,
 * next to each other, and fill the file to its end. A checksum is checked where there is one. Each tensor is read into memory of its own,
 * but from bytes that are in memory already: there it is a view of them where alignment allows.
 *
 * @throws OptimError `invalid-state` for what is no such file, truncated or damaged; `storage-error` where reading fails
 */
export async function decodeSafetensors(
  input: ByteInput,
  options: ProgressOptions = {},
): Promise<SafetensorsContent> {
  const source = await sourceOf(input, "decodeSafetensors");
  const onBytes = counter(source.size, options);
  const { bytes: head, metadata, entries } = await readHeader(source);
  onBytes?.(head.length);
  const checksum = metadata.get(checksumName);
  let crc = checksum === undefined ? 0 : crc32(withoutChecksum(head, checksum), 0);
  const tensors = new Map<string, Tensor>();
  for (const { key, dtype, shape, begin, end } of entries) {
    const bytes = await readExactly(source, begin, end, onBytes);
    if (checksum !== undefined) crc = crc32(bytes, crc);
    tensors.set(key, { dtype, shape, data: elementsOf(bytes, dtype) });
  }
  if (checksum !== undefined && checksumText(crc) !== checksum) {
    refuseDamage(`bytes whose CRC-32 is ${checksum}`, checksumText(crc));
  }
  return { tensors, metadata };
}

interface Entry {
  readonly key: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes are in the file. */
  readonly begin: number;
  readonly end: number;
}

interface Header {
  /** The first bytes of the file, up to the first tensor. */
  readonly bytes: Uint8Array;
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: readonly Entry[];
}

async function readHeader(source: ByteSource): Promise<Header> {
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

async function readExactly(
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
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new OptimError("invalid-state", "safetensors", {
      expected: "a header in JSON",
      hint: damage,
      cause,
    });
  }
  return objectOf(header, "the header");
}

function describedTensor(key: string, entry: unknown, start: number): Entry {
  const { dtype, shape, data_offsets: offsets } = objectOf(entry, key);
  const kind = arrayOf(dtype);
  if (kind === undefined) return refuseDamage(`${key} of a known dtype`, dtype);
  if (!isCounts(shape)) return refuseDamage(`${key} with a shape`, shape);
  if (!isCounts(offsets) || offsets.length !== 2) return refuseDamage(`${key} with two offsets`, offsets);
  const [begin, end] = offsets as readonly [number, number];
  if (sizeOf(shape) * kind.BYTES_PER_ELEMENT !== end - begin) {
    refuseDamage(`${key} of ${end - begin} bytes`, shape);
  }
  return { key, dtype: dtype as Dtype, shape, begin: start + begin, end: start + end };
}

const isCounts = (value: unknown): value is readonly number[] => Array.isArray(value) && value.every(isCount);

function objectOf(value: unknown, where: string): { readonly [name: string]: unknown } {
  if (Object.prototype.toString.call(value) !== "[object Object]")
    refuseDamage(`an object as ${where}`, value);
  return value as { readonly [name: string]: unknown };
}

/** The header as it was when the checksum was taken. */
function withoutChecksum(head: Uint8Array, checksum: string): Uint8Array {
  const text = new TextDecoder("latin1").decode(head);
  // Inside of a text the quotes would be escaped, so this is the entry itself.
  const place = new RegExp(`"${checksumName}"\\s*:\\s*"[0-9a-f]{8}"`).exec(text);
  if (place === null || !place[0].endsWith(`"${checksum}"`)) {
    return refuseDamage("eight hexadecimal digits as crc32", checksum);
  }
  const zeroed = head.slice();
  zeroed.set(new TextEncoder().encode(noChecksum), place.index + place[0].length - 9);
  return zeroed;
}

function elementsOf(bytes: Uint8Array, dtype: Dtype): Tensor["data"] {
  const kind = arrayOf(dtype) as NonNullable<ReturnType<typeof arrayOf>>;
  const length = bytes.length / kind.BYTES_PER_ELEMENT;
  const { buffer, byteOffset } = byteOffsetFits(bytes, kind.BYTES_PER_ELEMENT) ? bytes : bytes.slice();
  return new kind(buffer as ArrayBuffer, byteOffset, length);
}

const byteOffsetFits = ({ byteOffset }: Uint8Array, alignment: number): boolean =>
  byteOffset % alignment === 0;

const damage = "The file is damaged, cut short, or something else";

function refuseDamage(expected: string, received: unknown): never {
  return refuse("invalid-state", "safetensors", expected, received, { hint: damage });
}
