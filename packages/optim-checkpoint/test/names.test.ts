import * as fc from "fast-check";
import { expect, test } from "vitest";
import { joinKey, splitKey } from "../src/keys.ts";
import { fromJson, toJson } from "../src/json.ts";
import { refusal } from "../../../test-support/refusal.ts";

test("a key is its names joined by colons, in which nothing but % and : is written otherwise", () => {
  expect(joinKey("optim", "generator", "layers.0/weight:0", "expAvg")).toBe(
    "optim:generator:layers.0/weight%3A0:expAvg",
  );
  expect(joinKey("100%", "")).toBe("100%25:");
  // The name that safetensors keeps to itself.
  expect(joinKey("__metadata__")).toBe("%5F_metadata__");
  // Names as Python's urllib.parse.quote would write them are read too.
  expect(splitKey("optim:%C3%BC%20b")).toEqual(["optim", "ü b"]);
});

const name = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("", ":", "%", "%3A", "%25", "::", "__metadata__", "__proto__", "a:b%"),
);

test("property: any names come back, and no two lists of names have the same key", () => {
  fc.assert(
    fc.property(fc.array(name, { minLength: 1 }), fc.array(name, { minLength: 1 }), (names, others) => {
      expect(splitKey(joinKey(...names))).toEqual(names);
      expect(joinKey(...names) === joinKey(...others)).toBe(JSON.stringify(names) === JSON.stringify(others));
    }),
    { seed: 1 },
  );
});

test("half of a surrogate pair is no name, and a lone % no key", async () => {
  for (const half of ["\ud800", "a\udc00b"]) {
    expect((await refusal(async () => joinKey(half))).code).toBe("invalid-name");
  }
  expect(splitKey(joinKey("\ud83d\ude00"))).toEqual(["😀"]);
  for (const key of ["100%", "%zz", "%ff"]) {
    expect((await refusal(async () => splitKey(key))).code).toBe("invalid-state");
  }
});

const special = fc.constantFrom(Number.NaN, Infinity, -Infinity, -0, 0, 1e-320, 0.1 + 0.2, 2 ** 53);
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: "binary" }),
    fc.boolean(),
    fc.constant(null),
    fc.double(),
    special,
    fc.array(tie("value")),
    fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom("$number", "$$number", "$", "__proto__", "constructor", "0")),
      tie("value"),
    ),
  ),
}));

test("property: plain data comes back equal, NaN, infinities and −0 too", () => {
  fc.assert(
    fc.property(plain.value, (value) => {
      const back = fromJson(toJson(value, "value"), "value");
      // Object.is for numbers, own keys alone for records.
      expect(sameAs(back, value)).toBe(true);
    }),
    { seed: 2, numRuns: 1000 },
  );
});

function sameAs(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [one, other] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return (
    one.size === other.size &&
    [...one].every(([key, value]) => other.has(key) && sameAs(value, other.get(key)))
  );
}

test("numbers that JSON has not are written as records, and records that look like them otherwise", () => {
  expect(toJson({ loss: Number.NaN, of: { $number: "NaN" } }, "extra")).toBe(
    '{"loss":{"$number":"NaN"},"of":{"$$number":"NaN"}}',
  );
  expect(toJson({ absent: undefined, there: 1 }, "extra")).toBe('{"there":1}');
});

const cycle: unknown[] = [];
cycle.push(cycle);

test.each<[string, unknown, string]>([
  ["undefined in a list", [1, undefined], "extra[1]"],
  ["a hole", [1, , 3], "extra[1]"], // oxlint-disable-line no-sparse-arrays
  ["a typed array", { a: new Float32Array(1) }, "extra.a"],
  ["a date", { a: { b: new Date(0) } }, "extra.a.b"],
  ["a map", new Map(), "extra"],
  ["a function", { a: () => 1 }, "extra.a"],
  ["a bigint", { a: 1n }, "extra.a"],
  ["a symbol", [Symbol("a")], "extra[0]"],
  ["a cycle", cycle, "extra[0][0]"],
])("%s is not plain, and refused by its place", async (_, value, place) => {
  const error = await refusal(async () => toJson(value, "extra"));
  expect(error.code).toBe("invalid-option");
  expect(error.message).toContain(place);
});

test.each([
  "",
  "{",
  '{"a":{"$number":"7"}}',
  '{"$number":"toString"}',
  '{"$number":1}',
  "[".repeat(65) + "]".repeat(65),
])("%s is refused where it is read", async (text) => {
  expect((await refusal(async () => fromJson(text, "extra"))).code).toBe("invalid-state");
});
