import { inspect } from "node:util";
import { expect, expectTypeOf, test } from "vitest";
import { OptimWrapperDict } from "@mm/optim-dict";
import { FakeWrapper } from "./fake-wrapper.ts";
import { refusal } from "../../../test-support/refusal.ts";

const generator = new FakeWrapper({ backend: "wasm", rule: "Adam", groups: [{ lr: 2e-4 }] });
const discriminator = new FakeWrapper({ backend: "tfjs", groups: [{ lr: 0.1 }, { lr: 0.01 }] });
const dict = new OptimWrapperDict({ generator, discriminator });
const pairs = [
  ["generator", generator],
  ["discriminator", discriminator],
];

test("get, has, size", () => {
  expect(dict.get("generator")).toBe(generator);
  expect(dict.get("discriminator")).toBe(discriminator);
  expect(dict.has("generator")).toBe(true);
  expect(dict.has("critic")).toBe(false);
  expect(dict.has("toString")).toBe(false);
  expect(dict.size).toBe(2);
});

test("a name from elsewhere is narrowed by has", () => {
  const name: string = "generator";
  if (!dict.has(name)) throw new Error("it has");
  expectTypeOf(name).toEqualTypeOf<"generator" | "discriminator">();
  expect(dict.get(name)).toBe(generator);
});

test("an unknown name: the error lists the names", async () => {
  const error = await refusal(() => dict.get("critic" as "generator"));
  expect(error.code).toBe("unknown-name");
  expect(error.message).toBe('OptimWrapperDict: expected one of generator, discriminator, got "critic"');
});

test("keys, values, entries, items and the dict itself go in the order of the record, as often as asked", () => {
  expect([...dict.keys()]).toEqual(["generator", "discriminator"]);
  expect([...dict.values()]).toEqual([generator, discriminator]);
  expect([...dict.entries()]).toEqual(pairs);
  expect([...dict.items()]).toEqual(pairs);
  expect([...dict]).toEqual(pairs);
  expect([...dict]).toEqual(pairs);
  expect(new Map<string, FakeWrapper>(dict).get("discriminator")).toBe(discriminator);
});

test("forEach gives wrapper and name", () => {
  const seen: unknown[] = [];
  dict.forEach((...entry) => seen.push(entry));
  expect(seen).toEqual([
    [generator, "generator"],
    [discriminator, "discriminator"],
  ]);
});

test("it tells what it holds, in strings and in the console", () => {
  const text = [
    "OptimWrapperDict",
    "  generator: Adam on wasm, lr 0.0002",
    "  discriminator: SGD on tfjs, lr 0.1, 0.01",
  ];
  expect(dict.toString()).toBe(text.join("\n"));
  expect(inspect(dict)).toBe(text.join("\n"));
});

test("names that objects have are names", () => {
  const other = new FakeWrapper({ groups: [{ lr: 1 }] });
  const odd = new OptimWrapperDict({ ["__proto__"]: generator, constructor: discriminator, toString: other });
  expect([...odd.keys()]).toEqual(["__proto__", "constructor", "toString"]);
  expect(odd.get("__proto__")).toBe(generator);
  expect(odd.get("constructor")).toBe(discriminator);
  expect(odd.has("hasOwnProperty")).toBe(false);
  expect(Object.entries(odd.paramGroups)).toEqual([
    ["__proto__", generator.paramGroups],
    ["constructor", discriminator.paramGroups],
    ["toString", other.paramGroups],
  ]);
  expect(odd.getLr()).toEqual({
    "__proto__.lr": [2e-4],
    "constructor.baseLr": [0.1],
    "constructor.lr": [0.1, 0.01],
    "toString.lr": [1],
  });
});
