import { refuse } from "@mm/optim-core/backend";
import { checksumOf, verifyRest } from "./checksum.ts";
import { type Header, readExactly, readHeader } from "./header.ts";
import { counter, type ProgressOptions } from "./progress.ts";
import { type ByteInput, type ByteSource, sourceOf } from "./source.ts";
import { arrayOf, type Dtype, dtypes, type FileTensor } from "./tensor.ts";

/** The tensors and texts of a safetensors file. */
export interface SafetensorsContent {
  /** By key, in the order of the file. */
  readonly tensors: ReadonlyMap<string, FileTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads any safetensors file. The header is checked against the size of the file before anything is allocated: tensors must be whole,
 * next to each other, and fill the file to its end. A checksum is checked where there is one. Each tensor is read into memory of its own,
 * but from bytes that are in memory already: there it is a view of them where alignment allows.
 *
 * @throws OptimError `invalid-state` for anything but such a file, for a file that is truncated or damaged, has a key twice, or a dtype
 * that this release does not read; `storage-error` where reading fails
 */
export async function decodeSafetensors(
  input: ByteInput,
  options: ProgressOptions = {},
): Promise<SafetensorsContent> {
  const source = await sourceOf(input, "decodeSafetensors");
  const onBytes = counter(source.size, options);
  const header = await readHeader(source);
  await requireKnownTypes(source, header);
  onBytes?.(header.bytes.length);
  const checksum = checksumOf(header);
  const tensors = new Map<string, FileTensor>();
  for (const { key, dtype, shape, begin, end } of header.entries) {
    const bytes = await readExactly(source, begin, end, onBytes);
    checksum.add(bytes);
    tensors.set(key, { dtype: dtype as Dtype, shape, data: elementsOf(bytes, dtype) });
  }
  checksum.verify();
  return { tensors, metadata: header.metadata };
}

/** A file without its tensors. All of it is read, a few megabytes at a time. @throws OptimError as {@link decodeSafetensors} */
export async function verifySafetensors(source: ByteSource): Promise<ReadonlyMap<string, string>> {
  const header = await readHeader(source);
  await requireKnownTypes(source, header);
  await verifyRest(source, header);
  return header.metadata;
}

/** Tells a type that is new from one that was damaged, as far as there is a checksum. */
async function requireKnownTypes(source: ByteSource, header: Header): Promise<void> {
  const unknown = header.entries.find(({ dtype }) => arrayOf(dtype) === undefined);
  if (unknown === undefined) return;
  await verifyRest(source, header);
  refuse(
    "invalid-state",
    `safetensors: ${JSON.stringify(unknown.key)}`,
    `a dtype of ${dtypes.join(", ")}`,
    unknown.dtype,
    { hint: "This release does not read that type: have the program that wrote the file convert the tensor" },
  );
}

function elementsOf(bytes: Uint8Array, dtype: string): FileTensor["data"] {
  const kind = arrayOf(dtype) as NonNullable<ReturnType<typeof arrayOf>>;
  const length = bytes.length / kind.BYTES_PER_ELEMENT;
  const { buffer, byteOffset } = byteOffsetFits(bytes, kind.BYTES_PER_ELEMENT) ? bytes : bytes.slice();
  return new kind(buffer as ArrayBuffer, byteOffset, length);
}

const byteOffsetFits = ({ byteOffset }: Uint8Array, alignment: number): boolean =>
  byteOffset % alignment === 0;
