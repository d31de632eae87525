import { refuse } from "@mm/optim-core/backend";

/** Bytes that can be read by range: memory, a Blob, an open file. */
export interface ByteSource {
  /** How many there are. Known before anything is read, so that nothing is allocated on the word of a header. */
  readonly size: number;
  /**
   * Exactly the bytes from `begin` to `end`, which lie within `size`. They may be a view of memory that somebody else owns, and are then
   * only read.
   *
   * @param onBytes told how many more have arrived
   */
  read(begin: number, end: number, onBytes?: (count: number) => void): Promise<Uint8Array>;
}

/** A source that can be read as a file: bytes in memory, a `Blob` or `File`, a stream, or anything that gives ranges. */
export type ByteInput = Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array> | ByteSource;

/** @throws OptimError `invalid-option` for anything else */
export async function sourceOf(input: ByteInput, who: string): Promise<ByteSource> {
  if (input instanceof Uint8Array) return memorySource(input);
  if (input instanceof ArrayBuffer) return memorySource(new Uint8Array(input));
  if (input instanceof Blob) return blobSource(input);
  // The whole stream must be there before the sizes in its header can be believed; the browser may keep a Blob outside of memory.
  if (input instanceof ReadableStream) return blobSource(await new Response(input).blob());
  if (typeof (Object(input) as Partial<ByteSource>).read === "function") return input;
  return refuse("invalid-option", who, "bytes, a Blob, a stream or a ByteSource", input);
}

function memorySource(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: told((begin, end) => Promise.resolve(bytes.subarray(begin, end))) };
}

function blobSource(blob: Blob): ByteSource {
  return {
    size: blob.size,
    read: told(async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer())),
  };
}

const told =
  (read: (begin: number, end: number) => Promise<Uint8Array>): ByteSource["read"] =>
  async (begin, end, onBytes) => {
    const bytes = await read(begin, end);
    onBytes?.(bytes.length);
    return bytes;
  };
