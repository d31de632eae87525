import { refuse } from "@mm/optim-core/backend";
import { crc32 } from "./crc32.ts";
import { type Bytes, bytesOf, type FileTensor } from "./tensor.ts";

/** As the reference implementation of the format has it. */
export const mostHeaderBytes = 100_000_000;

/**
 * A safetensors file that is laid out and not yet written: its header, and the tensors' own memory, of which there is no second copy.
 * Leave the tensors as they are until it is written, or its checksum will not be theirs.
 *
 * Iterate over it for the bytes, in order: the header, then one chunk for each tensor.
 */
export class SafetensorsFile implements Iterable<Bytes> {
  /** In bytes. */
  readonly size: number;
  readonly #chunks: readonly Bytes[];

  constructor(chunks: readonly Bytes[]) {
    this.#chunks = chunks;
    this.size = chunks.reduce((size, { length }) => size + length, 0);
  }

  [Symbol.iterator](): IterableIterator<Bytes> {
    return this.#chunks.values();
  }

  /** The whole file in one array: a copy. */
  bytes(): Bytes {
    const bytes = new Uint8Array(this.size);
    let at = 0;
    for (const chunk of this) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  /** A Blob, which copies the tensors to where the browser keeps Blobs. */
  blob(): Blob {
    return new Blob([...this.#chunks], { type: "application/octet-stream" });
  }

  /** A stream of copies of at most a mebibyte, made as they are asked for. */
  stream(): ReadableStream<Bytes> {
    const pieces = piecesOf(this, 2 ** 20);
    return new ReadableStream({
      pull(controller) {
        const next = pieces.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value.slice());
      },
    });
  }
}

/** The chunks in pieces of at most so many bytes. */
export function* piecesOf(chunks: Iterable<Bytes>, most: number): Generator<Bytes, undefined> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += most) yield chunk.subarray(at, at + most);
  }
  return undefined;
}

/** The name of the checksum among the metadata. */
export const checksumName = "crc32";
export const noChecksum = "00000000";

/** Eight digits, in hexadecimal. */
export const checksumText = (crc: number): string => crc.toString(16).padStart(8, "0");

/**
 * Lays out a file of any tensors and metadata. The tensors stand in the order given, those with larger elements first, so that each is
 * aligned where the file is mapped into memory. `crc32` is added to the metadata, in the place of any that is given: the CRC-32 of the
 * whole file, in hexadecimal, taken with these eight digits as zeros.
 *
 * @param tensors by key, each once
 * @throws OptimError `invalid-name` for a key that comes twice, `unsupported` for a header beyond 100 MB
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [key: string, tensor: FileTensor]>,
  metadata: Readonly<Record<string, string>>,
): SafetensorsFile {
  const who = "checkpoint";
  const ordered = [...tensors].sort(([, a], [, b]) => elementBytes(b) - elementBytes(a));
  const texts = Object.entries(metadata).filter(([name]) => name !== checksumName);
  const header = new Map([[metadataName, objectText([[checksumName, noChecksum], ...texts])]]);
  let end = 0;
  for (const [key, { dtype, shape, data }] of ordered) {
    if (header.has(key)) refuse("invalid-name", who, "each tensor once", key);
    header.set(key, JSON.stringify({ dtype, shape, data_offsets: [end, (end += data.byteLength)] }));
  }
  const json = new TextEncoder().encode(objectText(header, (text) => text));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > mostHeaderBytes) refuse("unsupported", who, `a header of ${mostHeaderBytes} bytes`, length);

  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(json, 8);
  const chunks = [head, ...ordered.map(([, { data }]) => bytesOf(data))];
  const checksum = new TextEncoder().encode(
    checksumText(chunks.reduce((crc, chunk) => crc32(chunk, crc), 0)),
  );
  head.set(checksum, checksumAt);
  return new SafetensorsFile(chunks);
}

const metadataName = "__metadata__";
const checksumAt = 8 + `{"${metadataName}":{"${checksumName}":"`.length;

/** JSON in the order given, where an object would move keys such as "0" to the front: the checksum has to come first. */
function objectText(
  entries: Iterable<readonly [key: string, value: string]>,
  write: (value: string) => string = JSON.stringify,
): string {
  return `{${Array.from(entries, ([key, value]) => `${JSON.stringify(key)}:${write(value)}`).join(",")}}`;
}

const elementBytes = ({ data }: FileTensor): number => data.BYTES_PER_ELEMENT;
