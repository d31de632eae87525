/** Takes bytes into a CRC-32 (that of zlib, gzip and PNG; polynomial 0xEDB88320). Begin with 0. */
export type Crc32 = (bytes: Uint8Array, crc: number) => number;

/** Eight tables, so that eight bytes are taken at a time (Kounavis & Berry, "A systematic approach to building high performance CRC"). */
let tables: readonly Int32Array[] | undefined;

export const crc32: Crc32 = (bytes, before) => {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = (tables ??= makeTables()) as Tables;
  let crc = ~before;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t7[crc & 255]! ^
      t6[(crc >>> 8) & 255]! ^
      t5[(crc >>> 16) & 255]! ^
      t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at += 1) crc = t0[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
};

type Tables = readonly [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

function makeTables(): readonly Int32Array[] {
  const made = Array.from({ length: 8 }, () => new Int32Array(256));
  const [first] = made as unknown as Tables;
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    first[byte] = crc;
  }
  for (let table = 1; table < 8; table += 1) {
    for (let byte = 0; byte < 256; byte += 1) {
      const crc = made[table - 1]![byte]!;
      made[table]![byte] = first[crc & 255]! ^ (crc >>> 8);
    }
  }
  return made;
}
