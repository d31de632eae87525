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

const methods = `
  updateParams backward step zeroGrad flush lossFactor shouldUpdate shouldSync initializeCountStatus optimContext
  addParamGroup getLr getMomentum freeze unfreeze stateDict loadStateDict prepareLoad
  prepareLoadSync readMetrics dispose
`
  .trim()
  .split(/\s+/);

test("the list of methods is that of the class", () => {
  // Guards the list above, and with it the next test, against a method that core adds.
  const members = [...Object.getOwnPropertyNames(FakeWrapper.prototype), ...Object.keys(sgd())];
  const wrapper = sgd() as unknown as Record<string, unknown>;
  const found = members.filter((name) => name !== "constructor" && typeof wrapper[name] === "function");
  expect(found.sort()).toEqual([...methods].sort());
});

test.each(methods)("a wrapper without %s is refused, and told what it lacks", async (method) => {
  const wrapper = Object.assign(sgd(), { [method]: undefined });
  const error = await refusal(() => new Untyped({ generator: wrapper }));
  expect(error.code).toBe("invalid-wrapper");
  expect(error.message).toMatch(new RegExp(`with ${method}, got`));
});

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

test("a member that is no method is missing", async () => {
  const error = await refusal(() => new Untyped({ generator: Object.assign(sgd(), { flush: 5 }) }));
  expect(error.code).toBe("invalid-wrapper");
  expect(error.message).toContain("flush");
});
