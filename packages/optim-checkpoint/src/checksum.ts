import { crc32 } from "./crc32.ts";
import { checksumName, checksumText, noChecksum } from "./encode.ts";
import { type Header, readExactly, refuseDamage } from "./header.ts";
import type { ByteSource } from "./source.ts";

/** The checksum of a file while it is read, in order. */
export interface Checksum {
  add(bytes: Uint8Array): void;
  /** @throws OptimError `invalid-state` where the bytes are not those that were written */
  verify(): void;
}

/** Begins with the header. A file without a checksum has nothing to verify. @throws OptimError `invalid-state` */
export function checksumOf({ bytes, metadata }: Header): Checksum {
  const expected = metadata.get(checksumName);
  if (expected === undefined) return { add() {}, verify() {} };
  let crc = crc32(withoutChecksum(bytes, expected), 0);
  return {
    add(more) {
      crc = crc32(more, crc);
    },
    verify() {
      if (checksumText(crc) !== expected)
        refuseDamage(`bytes whose CRC-32 is ${expected}`, checksumText(crc));
    },
  };
}

/** Bytes that are in memory at a time. */
const pieceBytes = 2 ** 23;

/** Reads all the rest of a file for its checksum, and keeps none of it. @throws OptimError `invalid-state`, `storage-error` */
export async function verifyRest(source: ByteSource, header: Header): Promise<void> {
  const checksum = checksumOf(header);
  for (let at = header.bytes.length; at < source.size; at += pieceBytes) {
    checksum.add(await readExactly(source, at, Math.min(source.size, at + pieceBytes)));
  }
  checksum.verify();
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
