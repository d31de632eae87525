import {
  createOptimWrapper,
  type LoadOptions,
  type OptimErrorCode,
  type OptimWrapperOptions,
  type OptimWrapperStateDict,
} from "@mm/optim-core";
import { expect, test } from "vitest";
import {
  arrayOptimizer,
  gradients,
  heavyBall,
  type LossClosure,
  type Observed,
  observed,
} from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

interface Saved {
  readonly w: Float32Array;
  readonly v: Float32Array;
}

function model(
  options: OptimWrapperOptions = {},
  from: Saved = { w: new Float32Array(3), v: new Float32Array(2) },
) {
  const seen: Observed = observed();
  const [w, v] = [from.w.slice(), from.v.slice()];
  const optimizer = arrayOptimizer(
    heavyBall({ lr: 0.1, momentum: 0.9 }),
    [
      { name: "body", params: { w } },
      { name: "head", params: { v }, lr: 0.01 },
    ],
    seen,
  );
  return { w, v, seen, wrapper: createOptimWrapper(optimizer, options) };
}

/** Gradients that no short arithmetic gives: of iteration `n`, the same in every run. */
const of = (n: number): LossClosure =>
  gradients({ w: [Math.sin(n), Math.cos(n * n), 1 / (n + 1)], v: [Math.sin(n * 7), -Math.exp(-n)] });

const bits = (...arrays: readonly Float32Array[]): readonly (readonly number[])[] =>
  arrays.map((array) => [...new Uint32Array(array.buffer, array.byteOffset, array.length)]);

/** Halves the learning rates, base settings too, as a scheduler would. */
function halve({ wrapper }: ReturnType<typeof model>): void {
  for (const group of [...wrapper.paramGroups, wrapper.baseParamSettings])
    if (group !== undefined) group.lr /= 2;
}

const amp: OptimWrapperOptions = {
  accumulativeCounts: 3,
  clipGrad: { maxNorm: 0.5 },
  lossScale: { initScale: 2 ** 10, growthInterval: 2 },
};

test.each<[string, OptimWrapperOptions]>([
  ["plain", {}],
  ["accumulation", { accumulativeCounts: 3 }],
  ["accumulation, clipping and a dynamic loss scale", amp],
])(
  "%s: a run that is interrupted anywhere and resumed equals one that is not, to the bit",
  async (_, options) => {
    const iterations = 11;
    for (let interrupted = 0; interrupted <= iterations; interrupted += 1) {
      const whole = model(options);
      whole.wrapper.initializeCountStatus({ maxCounts: iterations });
      for (let n = 0; n < iterations; n += 1) {
        if (n === 5) halve(whole);
        whole.wrapper.updateParams(of(n));
      }

      const first = model(options);
      first.wrapper.initializeCountStatus({ maxCounts: iterations });
      for (let n = 0; n < interrupted; n += 1) {
        if (n === 5) halve(first);
        first.wrapper.updateParams(of(n));
      }
      // Through a file: nothing but plain data.
      const state = structuredClone(await first.wrapper.stateDict());
      const second = model(options, first);
      expect(await second.wrapper.loadStateDict(state)).toMatchObject({
        missing: [],
        unexpected: [],
        defaulted: [],
      });
      expect(second.wrapper.innerCount).toBe(interrupted);
      for (let n = interrupted; n < iterations; n += 1) {
        if (n === 5) halve(second);
        second.wrapper.updateParams(of(n));
      }
      expect(bits(second.w, second.v)).toEqual(bits(whole.w, whole.v));
      expect(await second.wrapper.stateDict()).toEqual(await whole.wrapper.stateDict());
      expect(await second.wrapper.readMetrics()).toMatchObject(
        interrupted === iterations
          ? { steps: (await whole.wrapper.readMetrics()).steps }
          : await whole.wrapper.readMetrics(),
      );
    }
  },
);

test("a resume with weights in mid-window", async () => {
  const [whole, first] = [model({ accumulativeCounts: 3 }), model({ accumulativeCounts: 3 })];
  for (const { wrapper } of [whole, first]) wrapper.updateParams(of(0), { weight: 5 });
  const second = model({ accumulativeCounts: 3 }, first);
  await second.wrapper.loadStateDict(await first.wrapper.stateDict());
  for (const { wrapper } of [whole, second]) for (const n of [1, 2]) wrapper.updateParams(of(n));
  expect(bits(second.w, second.v)).toEqual(bits(whole.w, whole.v));
});

test("a flush after a resume divides by all that is in the window", async () => {
  const [whole, first] = [model({ accumulativeCounts: 4 }), model({ accumulativeCounts: 4 })];
  for (const { wrapper } of [whole, first]) for (const n of [0, 1]) wrapper.updateParams(of(n));
  const second = model({ accumulativeCounts: 4 }, first);
  await second.wrapper.loadStateDict(await first.wrapper.stateDict());
  for (const { wrapper } of [whole, second]) {
    wrapper.updateParams(of(2));
    expect(wrapper.flush()).toEqual({ updated: true });
    expect(wrapper.lossFactor()).toBe(1);
  }
  expect(bits(second.w, second.v)).toEqual(bits(whole.w, whole.v));
});

test("the state is of the moment of the call, and a copy", async () => {
  const { wrapper } = model(amp);
  for (const n of [0, 1, 2, 3]) wrapper.updateParams(of(n));
  const before = await wrapper.stateDict();
  const saving = wrapper.stateDict();
  for (const n of [4, 5, 6]) wrapper.updateParams(of(n));
  wrapper.paramGroups[0].lr = 7;
  expect(await saving).toEqual(before);

  const edited = (await wrapper.stateDict()) as unknown as {
    optimizer: { params: { slots: { buffer: Float32Array } }[] };
  };
  const unedited = await wrapper.stateDict();
  for (const { slots } of edited.optimizer.params) slots.buffer.fill(99);
  expect(await wrapper.stateDict()).toEqual(unedited);
});

test("the argument of a load is neither changed nor kept", async () => {
  const source = model(amp);
  for (const n of [0, 1, 2, 3]) source.wrapper.updateParams(of(n));
  const state = await source.wrapper.stateDict();
  const copy = structuredClone(state);
  const { wrapper } = model(amp);
  const prepared = wrapper.prepareLoad(state);
  expect(state).toEqual(copy);
  const writable = state as unknown as {
    counts: { innerCount: number };
    optimizer: { params: { slots: { buffer: Float32Array } }[] };
  };
  writable.counts.innerCount = 1000;
  for (const { slots } of writable.optimizer.params) slots.buffer.fill(99);
  prepared.commit();
  expect(await wrapper.stateDict()).toEqual(copy);
});

test("without pending gradients the window is saved as empty: what is left of it is divided by what is left", async () => {
  const first = model({ accumulativeCounts: 3 });
  for (const n of [0, 1, 2, 3]) first.wrapper.updateParams(of(n));
  const state = await first.wrapper.stateDict({ pending: false });
  expect(state.counts).toMatchObject({ innerCount: 4, windowStart: 4, weightSum: 0 });
  expect(state.optimizer.params.every(({ gradient }) => gradient === undefined)).toBe(true);
  // The same at load, of a state that has them.
  const all = await first.wrapper.stateDict();
  expect(all.optimizer.params.every(({ gradient }) => gradient?.length !== undefined)).toBe(true);
  for (const [saved, options] of [
    [state, {}],
    [all, { restore: { pending: false } }],
  ] as const) {
    const { wrapper } = model({ accumulativeCounts: 3 }, first);
    await wrapper.loadStateDict(saved, options);
    expect([wrapper.innerCount, wrapper.lossFactor()]).toEqual([4, 2]);
    expect((await wrapper.stateDict()).optimizer.params.every(({ gradient }) => gradient === undefined)).toBe(
      true,
    );
  }
});

test("what is not restored stays", async () => {
  const source = model(amp);
  source.wrapper.initializeCountStatus({ maxCounts: 50 });
  for (const n of [0, 1, 2, 3, 4, 5, 6]) source.wrapper.updateParams(of(n));
  source.wrapper.paramGroups[0].lr = 0.5;
  const state = await source.wrapper.stateDict();
  const load = async (restore: LoadOptions["restore"]) => {
    const target = model(amp);
    for (const n of [0, 1]) target.wrapper.updateParams(of(n));
    await target.wrapper.loadStateDict(state, restore === undefined ? {} : { restore });
    return { ...target, scale: (await target.wrapper.readMetrics()).lossScale };
  };
  // Two clean steps, and the scale has grown once.
  const all = await load(undefined);
  expect([all.wrapper.innerCount, all.wrapper.getLr().lr, all.scale]).toEqual([7, [0.5, 0.01], 2 ** 11]);

  const hyperparameters = await load({ hyperparameters: false });
  expect(hyperparameters.wrapper.getLr().lr).toEqual([0.1, 0.01]);
  expect(hyperparameters.wrapper.innerCount).toBe(7);

  const lossScaler = await load({ lossScaler: false });
  expect(lossScaler.scale).toBe(2 ** 10);

  // The window in progress is dropped: its gradients were of other parameters.
  const counts = await load({ counts: false });
  expect(counts.wrapper.innerCount).toBe(2);
  expect(counts.wrapper.lossFactor()).toBe(1);
  const { params, steps } = (await counts.wrapper.stateDict()).optimizer;
  expect(params.map(({ step, gradient }) => [step, gradient])).toEqual([
    [2, undefined],
    [2, undefined],
  ]);
  expect(steps).toBe(0);
});

test("a state with a loss scale loads in plain precision, and the other way round", async () => {
  const [plain, scaled] = [model(), model({ lossScale: 8 })];
  for (const { wrapper } of [plain, scaled]) wrapper.updateParams(of(0));
  for (const [from, to] of [
    [plain, scaled],
    [scaled, plain],
  ] as const) {
    await to.wrapper.loadStateDict(await from.wrapper.stateDict());
    expect((await to.wrapper.stateDict()).optimizer).toEqual((await from.wrapper.stateDict()).optimizer);
  }
});

test("a second load while one is pending is an error; commit and dispose end it, once", async () => {
  const source = model();
  source.wrapper.updateParams(of(0));
  const state = await source.wrapper.stateDict();
  const { wrapper } = model();
  const before = await wrapper.stateDict();

  const first = wrapper.prepareLoad(state);
  expect((await refusal(() => wrapper.prepareLoad(state))).code).toBe("load-pending");
  expect((await refusal(() => wrapper.loadStateDict(state))).code).toBe("load-pending");
  expect(await wrapper.stateDict()).toEqual(before);
  first.dispose();
  first.commit();
  expect(await wrapper.stateDict()).toEqual(before);

  const second = wrapper.prepareLoad(state);
  // Training between the halves is overwritten.
  for (const n of [5, 6]) wrapper.updateParams(of(n));
  expect(second.commit()).toEqual({ missing: [], unexpected: [], changed: [], defaulted: [] });
  expect(await wrapper.stateDict()).toEqual(state);
  wrapper.updateParams(of(1));
  const after = await wrapper.stateDict();
  second.commit();
  second.dispose();
  expect(await wrapper.stateDict()).toEqual(after);
});

test("a load that cannot wait is the same load, and throws what the other rejects with", async () => {
  const source = model({ accumulativeCounts: 2, lossScale: 8 });
  for (const n of [0, 1, 2]) source.wrapper.updateParams(of(n));
  const state = await source.wrapper.stateDict();
  const { wrapper } = model({ accumulativeCounts: 2, lossScale: 8 });
  const other = { ...state, optimizer: { ...state.optimizer, rule: "Other" } };
  expect((await refusal(() => wrapper.prepareLoad(other))).code).toBe("state-mismatch");
  expect((await refusal(() => wrapper.prepareLoad({ ...state, version: 2 as 1 }))).code).toBe(
    "invalid-state",
  );
  const prepared = wrapper.prepareLoad(state);
  expect((await refusal(() => wrapper.prepareLoad(state))).code).toBe("load-pending");
  expect(wrapper.innerCount).toBe(0);
  expect(prepared.commit()).toEqual({ missing: [], unexpected: [], changed: [], defaulted: [] });
  // The window in progress, with its gradient, included: the next update steps it.
  expect(wrapper.innerCount).toBe(3);
  expect(await wrapper.stateDict()).toEqual(state);
  for (const each of [source.wrapper, wrapper]) each.updateParams(of(3));
  expect(await wrapper.stateDict()).toEqual(await source.wrapper.stateDict());
  wrapper.dispose();
  expect((await refusal(() => wrapper.prepareLoad(state))).code).toBe("disposed");
});

test("after dispose() a commit changes nothing and leaves nothing behind", async () => {
  const source = model({ accumulativeCounts: 2 });
  for (const n of [0, 1, 2]) source.wrapper.updateParams(of(n));
  const { seen, wrapper } = model({ accumulativeCounts: 2 });
  const prepared = wrapper.prepareLoad(await source.wrapper.stateDict());
  // Two buffers and two accumulators are staged.
  expect(seen.live).toBe(4);
  wrapper.dispose();
  prepared.commit();
  expect(seen.live).toBe(0);
  expect(wrapper.innerCount).toBe(0);
});

test("loads leave no vector behind, whether they are committed, dropped or refused", async () => {
  const source = model({ accumulativeCounts: 2 });
  for (const n of [0, 1, 2]) source.wrapper.updateParams(of(n));
  const state = await source.wrapper.stateDict();
  const { seen, wrapper } = model({ accumulativeCounts: 2 });
  await wrapper.loadStateDict(state);
  const { live } = seen;
  await wrapper.loadStateDict(state);
  wrapper.prepareLoad(state).dispose();
  await refusal(() => wrapper.loadStateDict({ ...state, optimizer: { ...state.optimizer, rule: "Other" } }));
  expect(seen.live).toBe(live);
});

test("what does not match is listed in one error, and nothing has changed", async () => {
  const other = createOptimWrapper(
    arrayOptimizer(heavyBall({ momentum: 0.9 }), [
      { name: "body", params: { w: new Float32Array(4) } },
      { name: "neck", params: { u: new Float32Array(2) } },
    ]),
  );
  other.updateParams(gradients({ w: [1, 1, 1, 1], u: [1, 1] }));
  const state = await other.stateDict();
  const { w, v, wrapper } = model();
  wrapper.updateParams(of(0));
  const [before, weights] = [await wrapper.stateDict(), bits(w, v)];

  const error = await refusal(() => wrapper.loadStateDict(state));
  expect(error.code).toBe("state-mismatch");
  expect(error.missing).toEqual(['group "head"', "v"]);
  expect(error.unexpected).toEqual(['group "neck"', "u"]);
  expect(error.mismatched).toEqual([expect.stringMatching(/^w: shape \[4\] saved, \[3\] here/)]);
  expect(await wrapper.stateDict()).toEqual(before);
  expect(bits(w, v)).toEqual(weights);

  const report = await wrapper.loadStateDict(state, { strict: false });
  expect(report.missing).toEqual(['group "head"', "v"]);
  expect(report.unexpected).toHaveLength(3);
});

test("rename: the state of a model whose parameters had other names", async () => {
  const source = model();
  source.wrapper.updateParams(of(0));
  const state = await source.wrapper.stateDict();
  const target = createOptimWrapper(
    arrayOptimizer(heavyBall({ lr: 0.1, momentum: 0.9 }), [
      { name: "body", params: { "model/w_3": new Float32Array(3) } },
      { name: "head", params: { "model/v_3": new Float32Array(2) } },
    ]),
  );
  expect((await refusal(() => target.loadStateDict(state))).missing).toEqual(["model/w_3", "model/v_3"]);
  await target.loadStateDict(state, { rename: (saved) => `model/${saved}_3` });
  const { params } = (await target.stateDict()).optimizer;
  expect(params.map(({ slots }) => slots)).toEqual(state.optimizer.params.map(({ slots }) => slots));
  // Two that become one are no renaming.
  expect((await refusal(() => target.loadStateDict(state, { rename: () => "model/w_3" }))).code).toBe(
    "state-mismatch",
  );
});

type Edit = (state: OptimWrapperStateDict) => unknown;

test.each<[string, Edit]>([
  ["nothing", () => undefined],
  ["null", () => null],
  ["a string", () => "state"],
  ["the optimizer's part alone", ({ optimizer }) => optimizer],
  ["a dict's state", ({ version }) => ({ format: "optim-wrapper-dict", version, wrappers: {} })],
  ["a later version", (state) => ({ ...state, version: 2 })],
  ["no counts", (state) => ({ ...state, counts: undefined })],
  ["empty counts", (state) => ({ ...state, counts: {} })],
  ["a count that is none", (state) => ({ ...state, counts: { ...state.counts, innerCount: -1 } })],
  [
    "counts without weightSum",
    (state) => ({ ...state, counts: { innerCount: 4, windowStart: 3, divisor: 3 } }),
  ],
  ["a weightSum that is NaN", (state) => ({ ...state, counts: { ...state.counts, weightSum: Number.NaN } })],
  [
    "an open window without its divisor",
    (state) => ({ ...state, counts: { innerCount: 4, windowStart: 3, weightSum: 1 } }),
  ],
  ["a window that begins later", (state) => ({ ...state, counts: { ...state.counts, windowStart: 9 } })],
  ["maxCounts that are no count", (state) => ({ ...state, counts: { ...state.counts, maxCounts: -1 } })],
  ["no optimizer", (state) => ({ ...state, optimizer: undefined })],
  ["an optimizer null", (state) => ({ ...state, optimizer: null })],
  [
    "an optimizer of a later version",
    (state) => ({ ...state, optimizer: { ...state.optimizer, version: 3 } }),
  ],
  ["no parameters", (state) => ({ ...state, optimizer: { ...state.optimizer, params: undefined } })],
  [
    "a slot that is no tensor",
    (state) => ({
      ...state,
      optimizer: {
        ...state.optimizer,
        params: state.optimizer.params.map((param) => ({ ...param, slots: { buffer: [1, 2, 3] } })),
      },
    }),
  ],
  ["a loss scale of 0", (state) => ({ ...state, lossScaler: { ...state.lossScaler, scale: 0 } })],
  ["a loss scaler that is a number", (state) => ({ ...state, lossScaler: 8 })],
])("%s is refused as a state, and nothing has changed", async (_, edit) => {
  const source = model(amp);
  for (const n of [0, 1, 2, 3]) source.wrapper.updateParams(of(n));
  const { seen, wrapper } = model(amp);
  for (const n of [0, 1]) wrapper.updateParams(of(n));
  const [before, live] = [await wrapper.stateDict(), seen.live];
  const state = edit(await source.wrapper.stateDict()) as OptimWrapperStateDict;
  expect((await refusal(() => wrapper.loadStateDict(state))).code).toBe("invalid-state");
  expect(await wrapper.stateDict()).toEqual(before);
  expect(seen.live).toBe(live);
  // It is not left half open either.
  await wrapper.loadStateDict(before);
});

test.each<[string, unknown, OptimErrorCode]>([
  ["a misspelled name", { stirct: false }, "unknown-option"],
  ["strict", { strict: "no" }, "invalid-option"],
  ["rename", { rename: { w: "v" } }, "invalid-option"],
  ["restore", { restore: true }, "invalid-option"],
  ["a part of restore, misspelled", { restore: { hyperparams: false } }, "unknown-option"],
  ["a part of restore", { restore: { counts: 0 } }, "invalid-option"],
  ["null", null, "invalid-option"],
])("an option of a load that is wrong: %s", async (_, options, code) => {
  const { wrapper } = model();
  const state = await wrapper.stateDict();
  expect((await refusal(() => wrapper.loadStateDict(state, options as LoadOptions))).code).toBe(code);
  await wrapper.loadStateDict(state);
});

test("a group that the rule could not follow is refused before anything changes", async () => {
  const { wrapper } = model();
  wrapper.updateParams(of(0));
  const state = await wrapper.stateDict();
  const groups = state.optimizer.groups.map((group) => ({
    ...group,
    hyperparameters: { ...group.hyperparameters, momentum: 2 },
  }));
  const error = await refusal(() =>
    wrapper.loadStateDict({ ...state, optimizer: { ...state.optimizer, groups } }),
  );
  expect(error.code).toBe("state-mismatch");
  expect(error.mismatched).toHaveLength(2);
  expect(await wrapper.stateDict()).toEqual(state);
});
