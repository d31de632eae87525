import { expect, test, vi } from "vitest";
import { OptimWrapperDict } from "@mm/optim-dict";
import { FakeWrapper } from "./fake-wrapper.ts";
import { refusal } from "../../../test-support/refusal.ts";

const sgd = (): FakeWrapper => new FakeWrapper({ groups: [{ lr: 0.1 }] });
// Callers without types reach what does not compile.
const Untyped = OptimWrapperDict as unknown as new (wrappers: unknown) => unknown;

test("without any wrapper it is a dict all the same", () => {
  const dict = new OptimWrapperDict({});
  expect(dict.size).toBe(0);
  expect(dict.getLr()).toEqual({});
  expect(dict.toString()).toBe("OptimWrapperDict");
});

test.each([
  ["nothing", undefined],
  ["null", null],
  ["a function", () => ({})],
  ["a list", [sgd()]],
  ["a map", new Map([["generator", sgd()]])],
  ["a dict", new OptimWrapperDict({ generator: sgd() })],
])("%s is no record", async (_, wrappers) => {
  expect((await refusal(() => new Untyped(wrappers))).code).toBe("invalid-option");
});

test("a wrapper alone is no record, and is told to have a name", async () => {
  const error = await refusal(() => new Untyped(sgd()));
  expect(error.code).toBe("invalid-option");
  expect(error.hint).toContain("{ generator: wrapper }");
});

test.each(["", ".", "generator.", "a.b"])("the name %j is refused", async (name) => {
  const error = await refusal(() => new Untyped({ fine: sgd(), [name]: sgd() }));
  expect(error.code).toBe("invalid-name");
  expect(error.message).toContain(`"${name}"`);
});

test.each([
  ["undefined", undefined],
  ["null", null],
  ["a number", 3],
  ["an optimizer", sgd().optimizer],
  ["a dict", new OptimWrapperDict({ inner: sgd() })],
  ["a wrapper of another kind", Object.assign(sgd(), { kind: "wrapper" })],
])("%s is no wrapper", async (_, value) => {
  const error = await refusal(() => new Untyped({ generator: value }));
  expect(error.code).toBe("invalid-wrapper");
  expect(error.message).toContain("generator");
});

test.each([undefined, 2, "1"])(
  "a wrapper of contract %j is refused, and both versions are named",
  async (contract) => {
    const error = await refusal(() => new Untyped({ generator: Object.assign(sgd(), { contract }) }));
    expect(error.code).toBe("contract-mismatch");
    expect(error.message).toContain("generator");
    expect(error.message).toContain("expected version 1");
    expect(error.received).toBe(contract);
  },
);

test("one wrapper under two names: both are told", async () => {
  const shared = sgd();
  const error = await refusal(() => new OptimWrapperDict({ first: shared, other: sgd(), second: shared }));
  expect(error.code).toBe("duplicate-wrapper");
  expect(error.message).toContain("first");
  expect(error.message).toContain("second");
});

test("the record is copied", () => {
  const wrappers = { generator: sgd() };
  const dict = new OptimWrapperDict(wrappers);
  const [before, after] = [wrappers.generator, sgd()];
  wrappers.generator = after;
  expect(dict.get("generator")).toBe(before);
});

test("where there is no Symbol.dispose, there is no such member, and all else is the same", () => {
  const native = Symbol;
  const older = Object.assign((name: string) => native(name), {
    for: native.for,
    iterator: native.iterator,
    toPrimitive: native.toPrimitive,
  });
  vi.stubGlobal("Symbol", older);
  try {
    const log: string[] = [];
    const dict = new OptimWrapperDict({ generator: new FakeWrapper({ groups: [{ lr: 0.1 }], log }) });
    expect(Reflect.ownKeys(dict)).not.toContain("undefined");
    dict.dispose();
    expect(log).toEqual(["dispose fake"]);
  } finally {
    vi.unstubAllGlobals();
  }
});
