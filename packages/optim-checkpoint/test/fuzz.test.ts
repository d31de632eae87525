import {
  decodeCheckpoint,
  decodeSafetensors,
  encodeCheckpoint,
  encodeSafetensors,
  restoreCheckpoint,
  takeCheckpoint,
  type FileTensor,
} from "@mm/optim-checkpoint";
import { isOptimError } from "@mm/optim-core";
import { expect, test } from "vitest";
import { randomNumbers } from "../../../test-support/numbers.ts";
import { crc32 } from "../src/crc32.ts";
import { bits, trained } from "./model.ts";

// Files as somebody might make them to do harm, or a disk by itself: always an OptimError with a code, or a load that is whole.

const next = randomNumbers(20240607);
const random = (below: number): number => Math.floor(next() * below);
const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;

const hostileKeys = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "",
  "$number",
  "0",
  "crc32",
  "x".repeat(2000),
];
const hostileValues: readonly unknown[] = [
  null,
  true,
  "",
  "optim-wrapper-dict",
  "__proto__",
  0,
  -1,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e308,
  -1e308,
  [],
  [[]],
  {},
  { $number: "NaN" },
  { $number: "Infinity" },
  { $number: "bad" },
  JSON.parse('{"__proto__":{"polluted":true}}'),
  JSON.parse('{"constructor":{"prototype":{"polluted":true}}}'),
  Array.from({ length: 500 }, () => 0),
  Array.from({ length: 70 }).reduce<unknown>((inner) => [inner], 0),
];
const hostileText = [
  "1e999",
  "-0",
  "9007199254740993",
  "18446744073709551616",
  "NaN",
  "{}",
  "[]",
  "null",
  '"__proto__"',
  '"\\ud800"',
  "\\",
  '"',
  ",",
  "{".repeat(300),
];

/** Somewhere in plain data, something else. */
function edited(value: unknown): unknown {
  if (typeof value !== "object" || value === null || random(10) === 0) return pick(hostileValues);
  const entries = Object.entries(value as { readonly [key: string]: unknown });
  const at = random(Math.max(1, entries.length));
  const [key, inner] = entries[at] ?? ["", null];
  const change = random(8);
  if (change === 0) entries.splice(at, 1);
  else if (change === 1) entries.push([pick(hostileKeys), inner]);
  else if (change === 2) entries[at] = [pick(hostileKeys), inner];
  else entries[at] = [key, edited(inner)];
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

/** Bytes somewhere in a range turned, removed, repeated or made up. */
function damaged(bytes: Uint8Array, begin: number, end: number): Uint8Array {
  const at = begin + random(end - begin);
  const length = 1 + random(pick([1, 4, 64]));
  const [before, cut, after] = [
    bytes.subarray(0, at),
    bytes.subarray(at, at + length),
    bytes.subarray(at + length),
  ];
  const kind = random(6);
  if (kind === 0) return Uint8Array.of(...before, ...cut.map((byte) => byte ^ (1 << random(8))), ...after);
  if (kind === 1) return Uint8Array.of(...before, ...after);
  if (kind === 2) return Uint8Array.of(...before, ...cut, ...cut, ...after);
  if (kind === 3) return Uint8Array.of(...before, ...cut.map(() => random(256)), ...after);
  if (kind === 4) return Uint8Array.of(...before, ...new TextEncoder().encode(pick(hostileText)), ...after);
  return before.slice();
}

/** Length and checksum as they have to be, so that what is behind them is reached. */
function consistent(header: Uint8Array, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + header.length + data.length);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 8);
  bytes.set(data, 8 + header.length);
  const place = /"crc32":"[0-9a-f]{8}"/.exec(new TextDecoder("latin1").decode(header));
  if (place === null) return bytes;
  const digits = 8 + place.index + '"crc32":"'.length;
  bytes.set(new TextEncoder().encode("00000000"), digits);
  bytes.set(new TextEncoder().encode(crc32(bytes, 0).toString(16).padStart(8, "0")), digits);
  return bytes;
}

/** Whether everything in it has the prototype that it should have. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  const expected = Array.isArray(value) ? Array.prototype : Object.prototype;
  return (prototype === expected || prototype === null) && Object.values(value).every(isPlain);
}

test(
  "100,000 mutated headers and bodies: an error with a code, or a load of all of it",
  { timeout: 600_000 },
  async () => {
    const source = await takeCheckpoint(trained(4).optim, {
      extra: { n: 1, list: [1, { a: "b" }] },
    });
    const original = encodeCheckpoint(source).bytes();
    const { tensors, metadata } = await decodeSafetensors(original);
    const start = 8 + Number(new DataView(original.buffer).getBigUint64(0, true));
    const [header, data] = [original.subarray(8, start), original.subarray(start)];
    const { crc32: _, ...texts } = Object.fromEntries(metadata);

    const mutations: readonly (() => Uint8Array)[] = [
      // As a disk or a network would have it.
      () => damaged(original, 0, original.length),
      () => damaged(original, 0, 8),
      // A header that is wrong, and a checksum that is right.
      () => consistent(damaged(header, 0, header.length), data),
      () => consistent(header, damaged(data, 0, data.length)),
      () =>
        consistent(
          new TextEncoder().encode(JSON.stringify(edited(JSON.parse(new TextDecoder().decode(header))))),
          data,
        ),
      // Plain data that is wrong.
      () =>
        encodeSafetensors(tensors, {
          ...texts,
          optim: JSON.stringify(edited(JSON.parse(texts["optim"] ?? ""))),
        }).bytes(),
      () => encodeSafetensors(tensors, { ...texts, [pick(["optim", "extra"])]: pick(hostileText) }).bytes(),
      // Tensors that are wrong: other types and shapes, one too many, one too few.
      () => {
        const others = [...tensors];
        const at = random(others.length);
        const [key, { data: elements }] = others[at] as [string, FileTensor];
        const twice: FileTensor = {
          dtype: "I32",
          shape: [elements.length],
          data: new Int32Array(elements.length),
        };
        const flat: FileTensor = { dtype: "F32", shape: [1, elements.length], data: elements };
        others.splice(at, random(2), [
          pick([key, "%", ...hostileKeys.map((name) => `optim:${name}`)]),
          pick([twice, flat]),
        ]);
        return encodeSafetensors(new Map(others), texts).bytes();
      },
    ];

    const { optim: target, generator, discriminator } = trained(2);
    // With slots, which once they are made stay.
    await restoreCheckpoint(target, source);
    for (const wrapper of target.values()) {
      wrapper.updateParams(({ grad }: { readonly grad: (name: never) => unknown }) => {
        for (const { name } of wrapper.optimizer.parameters) grad(name as never);
        return 0;
      });
    }
    const reset = await takeCheckpoint(target);
    const fingerprint = async (): Promise<string> =>
      JSON.stringify([await target.stateDict(), bits(generator), bits(discriminator)], (_, value: unknown) =>
        value instanceof Float32Array
          ? [...new Uint32Array(value.buffer, value.byteOffset, value.length)]
          : value,
      );
    const before = await fingerprint();
    const globals = [Object, Array, Function, Float32Array].map(
      ({ prototype }) => Object.getOwnPropertyNames(prototype).length,
    );
    const seen = { decoded: 0, loaded: 0, codes: new Map<string, number>() };
    const refused = (error: unknown): void => {
      if (!isOptimError(error)) throw error;
      seen.codes.set(error.code, (seen.codes.get(error.code) ?? 0) + 1);
    };

    for (let count = 0; count < 100_000; count += 1) {
      const bytes = (mutations[count % mutations.length] as () => Uint8Array)();
      let asked = 0;
      const input = {
        size: bytes.length,
        read: async (begin: number, end: number) => {
          asked += end - begin;
          if (begin < 0 || begin > end || end > bytes.length)
            throw new Error(`bytes ${begin} to ${end} of ${bytes.length}`);
          return bytes.slice(begin, end);
        },
      };
      try {
        const checkpoint = await decodeCheckpoint(input);
        seen.decoded += 1;
        if (!isPlain(checkpoint)) throw new Error("a prototype was changed");
        try {
          await restoreCheckpoint(target, checkpoint, { strict: random(4) !== 0 });
          seen.loaded += 1;
          await restoreCheckpoint(target, reset);
        } catch (error) {
          refused(error);
        }
        if ((await fingerprint()) !== before) throw new Error("a wrapper was half loaded");
      } catch (error) {
        refused(error);
      }
      // The first 8 bytes are looked at twice.
      if (asked > bytes.length + 8) throw new Error(`${asked} bytes allocated for a file of ${bytes.length}`);
    }

    expect(
      [Object, Array, Function, Float32Array].map(
        ({ prototype }) => Object.getOwnPropertyNames(prototype).length,
      ),
    ).toEqual(globals);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    // It got everywhere: past the format, past the checkpoint, into the wrapper.
    expect(seen.decoded).toBeGreaterThan(10_000);
    expect(seen.loaded).toBeGreaterThan(5000);
    expect(seen.codes.get("invalid-state")).toBeGreaterThan(10_000);
    expect(seen.codes.get("state-mismatch")).toBeGreaterThan(100);
  },
);
