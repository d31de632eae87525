import { OptimError, type OptimWrapperStateDict } from "@mm/optim-core";
import { expect, test, vi } from "vitest";
import { OptimWrapperDict, type OptimWrapperDictStateDict } from "@mm/optim-dict";
import { FakeLossScaler, type FakeOptions, FakeWrapper } from "./fake-wrapper.ts";
import { refusal } from "../../../test-support/refusal.ts";

type Options = Partial<FakeOptions<{ lr: number }>>;

const fake = (options: Options = {}): FakeWrapper => new FakeWrapper({ groups: [{ lr: 0.1 }], ...options });

const steps = (wrapper: FakeWrapper, count: number): FakeWrapper => {
  for (let step = 0; step < count; step += 1) wrapper.step();
  return wrapper;
};

/** A dict whose generator took 3 steps and whose discriminator took 5, and its state. */
async function trained(generator: Options = {}, discriminator: Options = {}) {
  const dict = new OptimWrapperDict({
    generator: steps(fake(generator), 3),
    discriminator: steps(fake(discriminator), 5),
  });
  return { dict, state: await dict.stateDict() };
}

const stepsOf = (dict: Iterable<readonly [string, FakeWrapper]>): unknown =>
  Object.fromEntries([...dict].map(([name, wrapper]) => [name, wrapper.steps]));

const stagedIn = (dict: Iterable<readonly [string, FakeWrapper]>): number =>
  [...dict].reduce((sum, [, wrapper]) => sum + wrapper.staged, 0);

test("the state is documented, plain data by name", async () => {
  const { dict, state } = await trained();
  expect(state.format).toBe("optim-wrapper-dict");
  expect(state.version).toBe(1);
  expect(Object.keys(state)).toEqual(["format", "version", "wrappers"]);
  expect(state.wrappers.generator).toEqual(await dict.get("generator").stateDict());
  expect(structuredClone(state)).toEqual(state);
});

test("all snapshots are of the tick of the call, whatever is trained before the promise resolves", async () => {
  const log: string[] = [];
  const { dict } = await trained({ backend: "a", log }, { backend: "b", log });
  log.length = 0;
  const promise = dict.stateDict({ pending: false });
  expect(log).toEqual(["stateDict a without pending", "stateDict b without pending"]);
  for (const wrapper of dict.values()) wrapper.step();
  const { generator, discriminator } = (await promise).wrappers;
  expect([generator.optimizer.steps, discriminator.optimizer.steps]).toEqual([3, 5]);
});

test("a round trip", async () => {
  const { state } = await trained();
  const { dict } = await trained();
  for (const wrapper of dict.values()) wrapper.step();
  expect(stepsOf(dict)).toEqual({ generator: 4, discriminator: 6 });
  expect(await dict.loadStateDict(structuredClone(state))).toEqual({
    missing: [],
    unexpected: [],
    changed: [],
    defaulted: [],
  });
  expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 5 });
  expect(stagedIn(dict)).toBe(0);
});

test("names that objects have are saved and loaded", async () => {
  const odd = () =>
    new OptimWrapperDict({ ["__proto__"]: fake(), constructor: fake(), hasOwnProperty: fake() });
  const source = odd();
  for (const [index, wrapper] of [...source.values()].entries()) steps(wrapper, index + 1);
  const state = await source.stateDict();
  expect(Object.keys(state.wrappers)).toEqual(["__proto__", "constructor", "hasOwnProperty"]);

  const target = odd();
  await target.loadStateDict(structuredClone(state));
  expect([...target.values()].map((wrapper) => wrapper.steps)).toEqual([1, 2, 3]);

  // Such a name is missing unless the state has it itself.
  const { ["constructor"]: _, ...others } = state.wrappers;
  const error = await refusal(() => target.loadStateDict({ ...state, wrappers: others }));
  expect(error.missing).toEqual(["constructor"]);
});

test.each<[string, unknown]>([
  ["nothing", undefined],
  ["null", null],
  ["a string", "state"],
  ["a later version", { format: "optim-wrapper-dict", version: 2, wrappers: {} }],
  ["no wrappers", { format: "optim-wrapper-dict", version: 1 }],
  ["the state of one wrapper", { format: "optim-wrapper", version: 1 }],
])("%s is refused as a state", async (_, state) => {
  const { dict } = await trained();
  const error = await refusal(() => dict.loadStateDict(state as OptimWrapperDictStateDict));
  expect(error.code).toBe("invalid-state");
  expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 5 });
});

test.each<readonly [string, object, string, RegExp]>([
  ["a checkpoint", { optim: {}, tensors: {} }, "{ optim, tensors }", /load checkpoint\.optim/],
  ["states by name", { g: { format: "optim-wrapper" } }, "{ g }", /get\(name\)\.loadStateDict/],
  ["PyTorch's", { state: {}, param_groups: [] }, "{ state, param_groups }", /Pass what stateDict\(\)/],
  ["an empty object", {}, "{}", /Pass what stateDict\(\)/],
])("of what is no state the keys are told: %s", async (_, state, received, hint) => {
  const { dict } = await trained();
  const error = await refusal(() => dict.loadStateDict(state as OptimWrapperDictStateDict));
  expect(error.received).toBe(received);
  expect(error.hint).toMatch(hint);
});

const ofOthers = async (): Promise<OptimWrapperDictStateDict> =>
  new OptimWrapperDict({ discriminator: steps(fake(), 9), critic: fake(), actor: fake() }).stateDict();

test("unknown and missing names are errors by default, both listed, and nothing changes", async () => {
  const { dict } = await trained();
  const error = await refusal(async () => dict.loadStateDict(await ofOthers()));
  expect(error.code).toBe("state-mismatch");
  expect(error.missing).toEqual(["generator"]);
  expect(error.unexpected).toEqual(["critic", "actor"]);
  expect(error.message).toContain("generator, discriminator");
  expect(error.message).toContain('["discriminator", "critic", "actor"]');
  expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 5 });
});

test("what wrappers refuse is in the same error as the names of wrappers", async () => {
  const source = new OptimWrapperDict({ generator: fake({ params: ["old"] }), critic: fake() });
  const target = new OptimWrapperDict({ generator: fake({ params: ["new"] }), discriminator: fake() });
  const state = (await source.stateDict()) as OptimWrapperDictStateDict;
  const error = await refusal(() => target.loadStateDict(state));
  expect(error.code).toBe("state-mismatch");
  expect(error.missing).toEqual(["discriminator", "generator.new"]);
  expect(error.unexpected).toEqual(["critic", "generator.old"]);
  expect(error.message).toMatch(/^prepareLoad: expected generator, discriminator, .*\ngenerator\.state/);
  expect(stagedIn(target)).toBe(0);
});

test.each([undefined, null, 5])("a wrapper with a loss scaler whose state is %j refuses it", async (part) => {
  const { dict, state } = await trained({ lossScaler: new FakeLossScaler(8) });
  const refused = new OptimError("invalid-state", "state");
  vi.spyOn(dict.get("generator"), "prepareLoad").mockImplementation(() => {
    throw refused;
  });
  const wrappers = { ...state.wrappers, generator: part as never };
  expect((await refusal(() => dict.loadStateDict({ ...state, wrappers }))).cause).toBe(refused);
});

test("without strict, what both have is loaded and the rest reported", async () => {
  const { dict } = await trained();
  const report = await dict.loadStateDict(await ofOthers(), { strict: false });
  expect(report).toMatchObject({ missing: ["generator"], unexpected: ["critic", "actor"] });
  expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 9 });
});

test("the report prefixes what is within a wrapper with its name", async () => {
  const { state } = await trained({ params: ["w", "old"] });
  const { dict } = await trained({ params: ["w", "new"] });
  const report = await dict.loadStateDict(state, { strict: false });
  expect(report).toMatchObject({ missing: ["generator.new"], unexpected: ["generator.old"] });
});

test("what wrappers refuse is one error: first code, all messages, names prefixed", async () => {
  const { state } = await trained({ params: ["w1"] }, { params: ["w2"] });
  const { dict } = await trained({ params: ["v1"] }, { params: ["v2"] });
  const error = await refusal(() => dict.loadStateDict(state));
  expect(error.code).toBe("state-mismatch");
  expect(error.message).toMatch(/^generator\.state.*\ndiscriminator\.state/);
  expect(error.missing).toEqual(["generator.v1", "discriminator.v2"]);
  expect(error.unexpected).toEqual(["generator.w1", "discriminator.w2"]);
  expect((error.cause as OptimError).missing).toEqual(["v1"]);
});

test("rename is told the wrapper", async () => {
  const { state } = await trained({ params: ["w_1"] }, { params: ["w_1"] });
  const { dict } = await trained({ params: ["generator/w"] }, { params: ["discriminator/w"] });
  await dict.loadStateDict(state, { rename: (saved, name) => saved.replace("w_1", `${name}/w`) });
  expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 5 });
});

test("prepareLoad changes nothing until commit, and nothing after dispose", async () => {
  const { state } = await trained();
  const { dict } = await trained();
  for (const wrapper of dict.values()) steps(wrapper, 10);
  const dropped = dict.prepareLoad(state);
  expect(stagedIn(dict)).toBe(2);
  dropped.dispose();
  dropped.dispose();
  expect(stagedIn(dict)).toBe(0);
  dropped.commit();
  expect(stepsOf(dict)).toEqual({ generator: 13, discriminator: 15 });

  const prepared = dict.prepareLoad(state);
  for (const wrapper of dict.values()) wrapper.step();
  expect(stepsOf(dict)).toEqual({ generator: 14, discriminator: 16 });
  expect(prepared.commit()).toEqual({ missing: [], unexpected: [], changed: [], defaulted: [] });
  expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 5 });
});

const error = new OptimError("device-lost", "prepareLoad");

test.each(["first", "middle", "last"] as const)(
  "when the %s wrapper fails, nothing changed or stays staged",
  async (place) => {
    for (const how of ["throws", "rejects"] as const) {
      const failing = (name: string): FakeWrapper =>
        fake(name === place ? { fails: { phase: "prepareLoad", how, error } } : {});
      const source = new OptimWrapperDict({
        first: steps(fake(), 1),
        middle: steps(fake(), 2),
        last: steps(fake(), 3),
      });
      const dict = new OptimWrapperDict({
        first: failing("first"),
        middle: failing("middle"),
        last: failing("last"),
      });
      const refused = await refusal(async () => dict.loadStateDict(await source.stateDict()));
      expect(refused.code).toBe("device-lost");
      expect(refused.message).toContain(`${place}.prepareLoad`);
      expect(refused.cause).toBe(error);
      expect(stepsOf(dict)).toEqual({ first: 0, middle: 0, last: 0 });
      expect(stagedIn(dict)).toBe(0);
    }
  },
);

test("what is no refusal but a bug is thrown as it is, whatever else is wrong", async () => {
  const bug = new TypeError("x is not a function");
  const { state } = await trained();
  const { dict } = await trained({}, { fails: { phase: "prepareLoad", how: "rejects", error: bug } });
  await expect(dict.loadStateDict(state)).rejects.toBe(bug);
  const { generator: _, ...wrappers } = state.wrappers;
  await expect(dict.loadStateDict({ ...state, wrappers })).rejects.toBe(bug);
  expect(stagedIn(dict)).toBe(0);
});

test.each(["throws", "rejects"] as const)("a state dict of which a part %s is not given", async (how) => {
  const { dict } = await trained();
  const other = fake({ fails: { phase: "stateDict", how, error } });
  const refused = await refusal(() =>
    new OptimWrapperDict({ fine: dict.get("generator"), other }).stateDict(),
  );
  expect(refused.code).toBe("device-lost");
  expect(refused.message).toBe("other.prepareLoad");
});

test("wrappers that share a loss scaler: copies that differ are refused", async () => {
  const lossScaler = new FakeLossScaler(1024);
  const { dict, state } = await trained({ lossScaler }, { lossScaler });
  await dict.loadStateDict(state);

  const { generator, discriminator } = state.wrappers;
  const saved = discriminator.lossScaler;
  if (saved === undefined) throw new Error("the scaler was not saved");
  const edited: OptimWrapperStateDict = { ...discriminator, lossScaler: { ...saved, scale: 512 } };
  const differing = { ...state, wrappers: { generator, discriminator: edited } };
  const refused = await refusal(() => dict.loadStateDict(differing));
  expect(refused.code).toBe("state-mismatch");
  expect(refused.message).toContain("discriminator.lossScaler");
  expect(stagedIn(dict)).toBe(0);

  // They are not read, or there is one copy: no question which.
  await dict.loadStateDict(differing, { restore: { lossScaler: false } });
  const { lossScaler: _, ...without } = discriminator;
  await dict.loadStateDict({ ...state, wrappers: { generator, discriminator: without } });

  // Scalers of their own may differ.
  const own = await trained({ lossScaler: new FakeLossScaler(1) }, { lossScaler: new FakeLossScaler(1) });
  await own.dict.loadStateDict(differing);
});

test.each([null, 5, { rename: 5 }, { rename: null }, { restore: null }, { strict: "no" }])(
  "options that are wrong reach the wrappers, which refuse them: %j",
  async (options) => {
    const { dict, state } = await trained();
    const refused = new OptimError("invalid-option", "prepareLoad");
    const asked = [...dict.values()].map((wrapper) =>
      vi.spyOn(wrapper, "prepareLoad").mockImplementation(() => {
        throw refused;
      }),
    );
    const error = await refusal(() => dict.loadStateDict(state, options as unknown as { strict: boolean }));
    expect(error.code).toBe("invalid-option");
    for (const { mock } of asked) expect(mock.lastCall?.[1]).toEqual(options);
    expect(stepsOf(dict)).toEqual({ generator: 3, discriminator: 5 });
    expect(stagedIn(dict)).toBe(0);
  },
);
