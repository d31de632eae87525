import { decodeSafetensors, encodeSafetensors, type FileTensor, toFloat32 } from "@mm/optim-checkpoint";
import { isOptimError } from "@mm/optim-core";
import { expect, test } from "vitest";
import { crc32 } from "../src/crc32.ts";
import { refusal } from "../../../test-support/refusal.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A file by hand: the length of the header in 8 bytes, the header, the data. */
function file(header: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const head = text(header);
  const bytes = new Uint8Array(8 + head.length + data.length);
  new DataView(bytes.buffer).setUint32(0, head.length, true);
  bytes.set(head, 8);
  bytes.set(data, 8 + head.length);
  return bytes;
}

test("CRC-32 of the digits 1 to 9 is the check value of its definition, in whatever pieces", () => {
  const digits = text("123456789");
  expect(crc32(digits, 0)).toBe(0xcbf43926);
  for (let cut = 0; cut <= 9; cut += 1) {
    expect(crc32(digits.subarray(cut), crc32(digits.subarray(0, cut), 0))).toBe(0xcbf43926);
  }
});

test("a file byte for byte: 8 bytes of length, the header padded to a multiple of 8, the data", () => {
  const tensor: FileTensor = { dtype: "F32", shape: [2], data: Float32Array.of(1, -2) };
  const bytes = encodeSafetensors([["w", tensor]], { note: "hi" }).bytes();
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  const header = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const checksum = /"crc32":"([0-9a-f]{8})"/.exec(header)?.[1] ?? "";
  expect(header.trimEnd()).toBe(
    `{"__metadata__":{"crc32":"${checksum}","note":"hi"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`,
  );
  // 1 is 3f800000 and -2 is c0000000, least byte first.
  expect([...bytes.subarray(8 + length)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  // The checksum is of the whole file with its own digits as zeros.
  const zeroed = Uint8Array.from(bytes);
  zeroed.set(text("00000000"), 8 + header.indexOf(checksum));
  expect(crc32(zeroed, 0).toString(16).padStart(8, "0")).toBe(checksum);
});

const all: Record<string, FileTensor> = {
  bytes: { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) },
  flags: { dtype: "BOOL", shape: [1], data: Uint8Array.of(1) },
  signed: { dtype: "I8", shape: [2], data: Int8Array.of(-128, 127) },
  halves: { dtype: "F16", shape: [2], data: Uint16Array.of(0x3c00, 0xc000) },
  brain: { dtype: "BF16", shape: [2], data: Uint16Array.of(0x3f80, 0xc000) },
  shorts: { dtype: "I16", shape: [1], data: Int16Array.of(-3) },
  words: { dtype: "U16", shape: [1], data: Uint16Array.of(65535) },
  floats: { dtype: "F32", shape: [2, 2], data: Float32Array.of(Number.NaN, -0, Infinity, 1e-45) },
  ints: { dtype: "I32", shape: [1], data: Int32Array.of(-7) },
  counts: { dtype: "U32", shape: [1], data: Uint32Array.of(2 ** 32 - 1) },
  doubles: { dtype: "F64", shape: [], data: Float64Array.of(Math.PI) },
  longs: { dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 62n)) },
  big: { dtype: "U64", shape: [1], data: BigUint64Array.of(2n ** 64n - 1n) },
  none: { dtype: "F32", shape: [0, 5], data: new Float32Array() },
};

test("every element type, shape and name comes back, those with the largest elements first", async () => {
  const { tensors, metadata } = await decodeSafetensors(
    encodeSafetensors(Object.entries(all), { a: "b" }).bytes(),
  );
  expect(metadata.get("a")).toBe("b");
  expect(Object.fromEntries(tensors)).toEqual(all);
  const sizes = [...tensors.values()].map(({ data }) => data.BYTES_PER_ELEMENT);
  expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
});

test.each(["bytes", "buffer", "blob", "stream", "misaligned bytes"] as const)(
  "is read from %s",
  async (kind) => {
    const encoded = encodeSafetensors(Object.entries(all), {});
    const bytes = encoded.bytes();
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const input = {
      bytes,
      buffer: bytes.buffer,
      blob: encoded.blob(),
      stream: encoded.stream(),
      "misaligned bytes": shifted.subarray(1),
    }[kind];
    expect(Object.fromEntries((await decodeSafetensors(input)).tensors)).toEqual(all);
  },
);

test("what is read is not changed: a Buffer of Node, misaligned, stays what it was", async () => {
  const bytes = encodeSafetensors(Object.entries(all), {}).bytes();
  for (const shift of [0, 1]) {
    const buffer = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
    const copy = Uint8Array.from(buffer);
    expect(Object.fromEntries((await decodeSafetensors(buffer)).tensors)).toEqual(all);
    expect(Uint8Array.from(buffer)).toEqual(copy);
  }
});

test("its chunks are the tensors' own memory: there is no second copy", () => {
  const data = new Float32Array(1000);
  const [header, chunk, ...more] = encodeSafetensors([["w", { dtype: "F32", shape: [1000], data }]], {});
  expect(chunk?.buffer).toBe(data.buffer);
  expect(more).toEqual([]);
  expect((header?.length ?? 0) % 8).toBe(0);
});

test("a stream gives copies of at most a mebibyte", async () => {
  const data = new Float32Array(2 ** 19 + 1);
  const lengths: number[] = [];
  for await (const piece of encodeSafetensors(
    [["w", { dtype: "F32", shape: [data.length], data }]],
    {},
  ).stream()) {
    expect(piece.buffer).not.toBe(data.buffer);
    lengths.push(piece.length);
  }
  // The header, 2¹⁹ × 4 bytes = 2 × 2²⁰, and one element more.
  expect(lengths.slice(1)).toEqual([2 ** 20, 2 ** 20, 4]);
});

test("progress is told in bytes, up to all of them", async () => {
  const encoded = encodeSafetensors(Object.entries(all), {});
  const seen: number[] = [];
  await decodeSafetensors(encoded.bytes(), {
    onProgress: ({ done, total }) => {
      expect(total).toBe(encoded.size);
      seen.push(done);
    },
  });
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(encoded.size);
});

test("a file of another program, with spaces, other fields and no checksum", async () => {
  const bytes = file(
    ' { "w" : { "data_offsets": [4, 8], "shape": [1], "dtype": "F32", "note": 1 }, "v": {"dtype":"I32","shape":[],"data_offsets":[0,4]} }  ',
    Uint8Array.of(5, 0, 0, 0, 0, 0, 0x80, 0x3f),
  );
  const { tensors, metadata } = await decodeSafetensors(bytes);
  expect([...tensors.keys()]).toEqual(["v", "w"]);
  expect(tensors.get("w")?.data).toEqual(Float32Array.of(1));
  expect(metadata.size).toBe(0);
});

test("names that objects have are only names", async () => {
  const names = ["__proto__", "constructor", "toString", "0", "", "ü☃", "x".repeat(100_000)];
  const tensors = names.map((name) => [name, { dtype: "U8", shape: [1], data: Uint8Array.of(7) }] as const);
  const decoded = await decodeSafetensors(encodeSafetensors(tensors, {}).bytes());
  expect(new Set(decoded.tensors.keys())).toEqual(new Set(names));
});

const f32 = (offsets: string, shape = "[1]"): string =>
  `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`;

test.each<[string, Uint8Array]>([
  ["nothing", new Uint8Array()],
  ["less than a length", new Uint8Array(7)],
  ["a length alone", new Uint8Array(8)],
  ["a header longer than the file", file("{}").subarray(0, 9)],
  ["a length of 2⁶⁴ − 1", Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 123, 125)],
  ["a header that is no UTF-8", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff)],
  ["a header that is no JSON", file("{]")],
  ["a header that ends", file('{"w":')],
  ["a header that is a list", file("[]")],
  ["a header that is null", file("null")],
  ["a header that is nested deeply", file("[".repeat(1_000_000))],
  ["a tensor that is null", file('{"w":null}')],
  ["a tensor that is a list", file('{"w":[]}')],
  ["no dtype", file('{"w":{"shape":[],"data_offsets":[0,0]}}')],
  ["a dtype that objects have", file('{"w":{"dtype":"constructor","shape":[],"data_offsets":[0,0]}}')],
  ["a dtype that is a number", file('{"w":{"dtype":1,"shape":[],"data_offsets":[0,0]}}')],
  [
    "offsets in the wrong order, of an unknown dtype",
    file('{"w":{"dtype":"F4","shape":[],"data_offsets":[4,0]}}', new Uint8Array(4)),
  ],
  ["a negative side", file(`{"w":${f32("[0,4]", "[-1]")}}`, new Uint8Array(4))],
  ["half a side", file(`{"w":${f32("[0,4]", "[0.5, 2]")}}`, new Uint8Array(4))],
  ["a side of 2⁵³", file(`{"w":${f32("[0,4]", "[9007199254740992]")}}`, new Uint8Array(4))],
  [
    "sides whose product overflows to NaN",
    file(`{"w":${f32("[0,0]", `[${"9007199254740991,".repeat(30)}0]`)}}`),
  ],
  ["a shape that is larger than its bytes", file(`{"w":${f32("[0,4]", "[2]")}}`, new Uint8Array(4))],
  ["one offset", file(`{"w":${f32("[0]")}}`, new Uint8Array(4))],
  ["three offsets", file(`{"w":${f32("[0,4,4]")}}`, new Uint8Array(4))],
  ["offsets in the wrong order", file(`{"w":${f32("[4,0]", "[]")}}`, new Uint8Array(4))],
  ["offsets beyond the end", file(`{"w":${f32("[4,8]")}}`, new Uint8Array(4))],
  ["a hole before a tensor", file(`{"w":${f32("[4,8]")}}`, new Uint8Array(8))],
  ["bytes after the last tensor", file(`{"w":${f32("[0,4]")}}`, new Uint8Array(5))],
  ["tensors that overlap", file(`{"w":${f32("[0,4]")},"v":${f32("[0,4]")}}`, new Uint8Array(4))],
  ["a tensor cut short", file(`{"w":${f32("[0,4]")}}`, new Uint8Array(3))],
  ["metadata that are a list", file('{"__metadata__":[]}')],
  ["metadata that are not text", file('{"__metadata__":{"a":1}}')],
  ["a checksum that is none", file('{"__metadata__":{"crc32":"no"}}')],
  ["a checksum of something else", file('{"__metadata__":{"crc32":"00000000"}}')],
])("%s is refused", async (_, bytes) => {
  expect((await refusal(() => decodeSafetensors(bytes))).code).toBe("invalid-state");
  // From a source that cannot be seen whole, too.
  expect((await refusal(() => decodeSafetensors(new Blob([Uint8Array.from(bytes)])))).code).toBe(
    "invalid-state",
  );
});

test.each(["F8_E4M3", "F4", "C64", "f32", ""])(
  "the dtype %j is told as one that is not read",
  async (dtype) => {
    const bytes = file(
      `{"v":${f32("[0,4]")},"w":{"dtype":"${dtype}","shape":[3],"data_offsets":[4,7]}}`,
      new Uint8Array(7),
    );
    for (const input of [bytes, new Blob([Uint8Array.from(bytes)])]) {
      const error = await refusal(() => decodeSafetensors(input));
      expect(error.code).toBe("invalid-state");
      expect(error.message).toContain('safetensors: "w": expected a dtype of F64, F32, I64,');
      expect(error.message).toContain(`got ${JSON.stringify(dtype)}`);
      expect(error.message).not.toContain("damaged");
    }
  },
);

test("a dtype that a checksum shows to be damaged is told as damage", async () => {
  const bytes = encodeSafetensors([["w", all["floats"]!]], {}).bytes();
  const header = new TextDecoder("latin1").decode(bytes);
  bytes[header.indexOf("F32")] = "G".charCodeAt(0);
  expect((await refusal(() => decodeSafetensors(bytes))).message).toContain("damaged");
});

test.each([
  ["a tensor", `{"w":${f32("[0,4]")},"w":${f32("[0,4]")}}`, "w"],
  ["a tensor whose name is escaped once", `{"w":${f32("[0,4]")},"\\u0077" :${f32("[4,8]")}}`, "w"],
  ["a text", `{"__metadata__":{"a":"1","b":"2","a":"1"},"w":${f32("[0,8]", "[2]")}}`, "a"],
  ["all texts", `{"__metadata__":{},"w":${f32("[0,8]", "[2]")},"__metadata__":{}}`, "__metadata__"],
  ["a field", `{"w":{"dtype":"F64","shape":[1],"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, "dtype"],
])("%s that stands twice is refused by its name", async (_, header, name) => {
  const error = await refusal(() => decodeSafetensors(file(header, new Uint8Array(8))));
  expect(error.code).toBe("invalid-state");
  expect(error.message).toContain(`each key of the header once, got ${JSON.stringify(name)}`);
  expect(error.message).not.toContain("damaged");
});

test("keys that are the same in two objects, and texts that look like keys, are none that stand twice", async () => {
  const header = `{"__metadata__":{"w":"\\"w\\": {\\\\","v":"w:"},"v":${f32("[0,4]")},"w":${f32("[4,8]")}}`;
  const { metadata } = await decodeSafetensors(file(header, new Uint8Array(8)));
  expect([...metadata]).toEqual([
    ["w", '"w": {\\'],
    ["v", "w:"],
  ]);
});

test("every single bit that is turned anywhere in a file is noticed, but those that turn the name of the checksum", async () => {
  const bytes = encodeSafetensors(Object.entries(all).slice(5, 8), { note: "x" }).bytes();
  const name = new TextDecoder("latin1").decode(bytes).indexOf("crc32");
  const { tensors } = await decodeSafetensors(bytes.slice());
  const unnoticed: { readonly byte: number; readonly decoded: unknown }[] = [];
  const refusals = new Set<unknown>();
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const turned = bytes.slice();
    turned[bit >> 3]! ^= 1 << (bit & 7);
    try {
      unnoticed.push({ byte: bit >> 3, decoded: (await decodeSafetensors(turned)).tensors });
    } catch (error) {
      refusals.add(isOptimError(error) ? error.code : error);
    }
  }
  expect([...refusals]).toEqual(["invalid-state"]);
  // Without its name it is not looked for; all else is as it was.
  for (const { byte, decoded } of unnoticed) {
    expect(byte - name).toBeGreaterThanOrEqual(0);
    expect(byte - name).toBeLessThan("crc32".length);
    expect(decoded).toEqual(tensors);
  }
});

test("a source that gives less than its size is refused", async () => {
  const bytes = encodeSafetensors(Object.entries(all), {}).bytes();
  for (const cut of [4, 20, 9000]) {
    const source = {
      size: bytes.length,
      read: (begin: number, end: number) =>
        Promise.resolve(bytes.slice(begin, Math.min(end, bytes.length - cut))),
    };
    expect((await refusal(() => decodeSafetensors(source))).code).toBe("invalid-state");
  }
});

test("a tensor that fits into no memory is refused as one", async () => {
  const size = 2 ** 50;
  const head = file(`{"w":{"dtype":"U8","shape":[${size}],"data_offsets":[0,${size}]}}`);
  const source = {
    size: head.length + size,
    read: async (begin: number, end: number) =>
      end <= head.length ? head.subarray(begin, end) : new Uint8Array(end - begin),
  };
  expect((await refusal(() => decodeSafetensors(source))).code).toBe("unsupported");
});

test.each([null, 5, "file", {}])("%j is no source of bytes", async (input) => {
  expect((await refusal(() => decodeSafetensors(input as never))).code).toBe("invalid-option");
});

test("metadata of any names, numbers and a checksum of something else among them", async () => {
  const texts = { 0: "zero", crc32: "stale", ["__proto__"]: "own", '"': "\\", "": "ü☃" };
  const { metadata } = await decodeSafetensors(encodeSafetensors([], texts).bytes());
  const { crc32: checksum, ...others } = Object.fromEntries(metadata);
  expect(others).toEqual({ 0: "zero", ["__proto__"]: "own", '"': "\\", "": "ü☃" });
  expect(checksum).toMatch(/^[0-9a-f]{8}$/);
});

test("a key comes once", async () => {
  const tensor: FileTensor = { dtype: "U8", shape: [0], data: new Uint8Array() };
  for (const key of ["w", "__metadata__"]) {
    const tensors = [
      ["w", tensor],
      [key, tensor],
    ] as const;
    expect((await refusal(async () => encodeSafetensors(tensors, {}))).code).toBe("invalid-name");
  }
});

test("float32 of every type", () => {
  const numbers = Object.fromEntries(
    Object.entries(all).map(([name, tensor]) => [name, [...toFloat32(tensor)]]),
  );
  expect(numbers).toMatchObject({
    halves: [1, -2],
    brain: [1, -2],
    doubles: [Math.fround(Math.PI)],
    longs: [-(2 ** 62)],
  });
  expect(toFloat32(all["floats"]!)).toBe(all["floats"]!.data);
  // Smallest and largest subnormal, largest finite, infinities, NaN: 2⁻²⁴, 1023 × 2⁻²⁴, (2 − 2⁻¹⁰) × 2¹⁵.
  const bits = Uint16Array.of(1, 0x3ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000);
  expect([...toFloat32({ dtype: "F16", shape: [7], data: bits })]).toEqual([
    2 ** -24,
    1023 * 2 ** -24,
    65504,
    Infinity,
    -Infinity,
    Number.NaN,
    -0,
  ]);
});
