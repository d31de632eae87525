import {
  createOptimWrapper,
  type OptimWrapper,
  type OptimWrapperOptions,
  type OptimWrapperStateDict,
} from "@mm/optim-core";
import { expect, test, vi } from "vitest";
import {
  arrayOptimizer,
  descent,
  gradients,
  heavyBall,
  type LossClosure,
  type MomentumHyperparameters,
  observed,
} from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

function model(options: OptimWrapperOptions = {}) {
  const seen = observed();
  const w = Float32Array.of(0, 0);
  const optimizer = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w }, seen);
  return { w, seen, optimizer, wrapper: createOptimWrapper(optimizer, options) };
}

const of = (...gradient: readonly number[]): LossClosure => gradients({ w: gradient });

test("the straight path: divide, backward, and in a full window check, unscale, clip, update, zero", () => {
  const { seen, wrapper } = model({ accumulativeCounts: 2, clipGrad: { maxNorm: 1 } });
  expect(wrapper.updateParams(of(1, 1))).toEqual({ updated: false });
  expect(seen.log.splice(0)).toEqual(["loss", "accumulate"]);
  expect(wrapper.updateParams(of(1, 1))).toEqual({ updated: true });
  expect(seen.log).toEqual(["loss", "accumulate", "check", "unscale", "clip", "update", "zeroGrad"]);
});

test("a loss closure runs once, in the context of the optimizer", () => {
  const { seen, optimizer, wrapper } = model({ accumulativeCounts: 2 });
  Object.assign(optimizer, {
    context: <T>({ sync }: { readonly sync: boolean }, run: () => T): T => {
      seen.log.push(`context, sync: ${sync}`);
      const value = run();
      seen.log.push("end of context");
      return value;
    },
  });
  wrapper.updateParams(of(1, 1));
  expect(seen.log.splice(0)).toEqual(["context, sync: false", "loss", "accumulate", "end of context"]);
  wrapper.updateParams(of(1, 1));
  expect(seen.log.splice(0, 2)).toEqual(["context, sync: true", "loss"]);

  seen.log.length = 0;
  expect(wrapper.optimContext(() => 3)).toBe(3);
  expect(seen.log).toEqual(["context, sync: false", "end of context"]);
});

test("optimContext is synchronous", async () => {
  const { wrapper } = model();
  const run = (async () => 3) as unknown as () => number;
  expect((await refusal(() => wrapper.optimContext(run))).code).toBe("invalid-option");
  await expect(async () =>
    wrapper.optimContext(() => {
      throw new RangeError("mine");
    }),
  ).rejects.toThrow(new RangeError("mine"));
  expect(wrapper.optimContext(() => null)).toBe(null);
});

test("returnLoss gives the closure's own value: neither divided by the window nor scaled", () => {
  const { wrapper } = model({ accumulativeCounts: 4, lossScale: 1024 });
  const loss = gradients({ w: [1, 1] }, 5);
  expect(wrapper.updateParams(loss, { returnLoss: true })).toEqual({ updated: false, loss: 5 });
  expect(wrapper.backward(loss, { returnLoss: true, scale: 0.5 })).toEqual({ loss: 5 });
  expect(Object.keys(wrapper.updateParams(loss))).toEqual(["updated"]);
  expect(Object.keys(wrapper.updateParams(loss, { returnLoss: false }))).toEqual(["updated"]);
});

test("a closure that throws leaves counts, gradients and the window as they were", async () => {
  const [undisturbed, disturbed] = [model({ accumulativeCounts: 3 }), model({ accumulativeCounts: 3 })];
  const failing = (): never => {
    throw new RangeError("no data");
  };
  for (const gradient of [1, 2, 4, 8, 16, 32]) {
    undisturbed.wrapper.updateParams(of(gradient, -gradient));
    for (const call of [disturbed.wrapper.updateParams, disturbed.wrapper.backward]) {
      const before = await disturbed.wrapper.stateDict();
      expect(() => call(failing)).toThrow(new RangeError("no data"));
      expect(await disturbed.wrapper.stateDict()).toEqual(before);
    }
    disturbed.wrapper.updateParams(of(gradient, -gradient));
    expect(await disturbed.wrapper.stateDict()).toEqual(await undisturbed.wrapper.stateDict());
    expect(disturbed.w).toEqual(undisturbed.w);
  }
});

test("a step that throws leaves parameters, slots and counts, and the gradients pending", async () => {
  const { w, wrapper } = model({ onNonFinite: "throw", accumulativeCounts: 2 });
  for (const gradient of [2, 4]) wrapper.updateParams(of(gradient, gradient));
  expect([...w]).toEqual([-3, -3]);
  const before = await wrapper.stateDict();
  wrapper.updateParams(of(1, 1));
  const error = await refusal(() => wrapper.updateParams(of(Number.NaN, 1)));
  expect(error.code).toBe("non-finite-gradient");
  expect(error.message).toContain('"w"');

  const { optimizer } = await wrapper.stateDict();
  expect(optimizer.params[0]?.slots).toEqual(before.optimizer.params[0]?.slots);
  expect(optimizer.params[0]?.step).toBe(1);
  expect(optimizer.params[0]?.gradient).toEqual(Float32Array.of(Number.NaN, 1));
  expect([...w]).toEqual([-3, -3]);

  // The gradients can be given up, and the next window is a whole one.
  wrapper.zeroGrad();
  expect([wrapper.innerCount, wrapper.lossFactor()]).toEqual([4, 2]);
  for (const gradient of [1, 3]) wrapper.updateParams(of(gradient, gradient));
  // b = 0.5 · 3 + 2 = 3.5
  expect([...w]).toEqual([-6.5, -6.5]);
});

test.each<[string, unknown]>([
  ["nothing", undefined],
  ["a value", 3],
  ["a promise", Promise.resolve(3)],
])("%s is no loss closure", async (_, loss) => {
  const { wrapper } = model();
  for (const call of [wrapper.updateParams, wrapper.backward]) {
    expect((await refusal(() => call(loss as LossClosure))).code).toBe("invalid-loss");
  }
  expect(wrapper.innerCount).toBe(0);
});

type Wrapper = OptimWrapper<LossClosure, number, MomentumHyperparameters>;

const state = (await model().wrapper.stateDict()) satisfies OptimWrapperStateDict;

const changing: Readonly<Record<string, (wrapper: Wrapper) => unknown>> = {
  updateParams: (wrapper) => wrapper.updateParams(of(1, 1)),
  backward: (wrapper) => wrapper.backward(of(1, 1)),
  step: (wrapper) => wrapper.step(),
  zeroGrad: (wrapper) => wrapper.zeroGrad(),
  flush: (wrapper) => wrapper.flush(),
  initializeCountStatus: (wrapper) => wrapper.initializeCountStatus({}),
  optimContext: (wrapper) => wrapper.optimContext(() => 1),
  addParamGroup: (wrapper) => wrapper.addParamGroup({ params: { v: new Float32Array(1) } }),
  freeze: (wrapper) => wrapper.freeze(["w"]),
  unfreeze: (wrapper) => wrapper.unfreeze(["w"]),
  stateDict: (wrapper) => wrapper.stateDict(),
  loadStateDict: (wrapper) => wrapper.loadStateDict(state),
  prepareLoad: (wrapper) => wrapper.prepareLoad(state),
  readMetrics: (wrapper) => wrapper.readMetrics(),
};

const getters = (wrapper: Wrapper): unknown => ({
  kind: wrapper.kind,
  backend: wrapper.backend,
  rule: wrapper.optimizer.rule,
  lossScaler: wrapper.lossScaler,
  innerCount: wrapper.innerCount,
  accumulativeCounts: wrapper.accumulativeCounts,
  defaults: wrapper.defaults,
  paramGroups: [...wrapper.paramGroups],
  baseParamSettings: wrapper.baseParamSettings,
  lr: wrapper.getLr(),
  momentum: wrapper.getMomentum(),
  lossFactor: wrapper.lossFactor(),
  shouldSync: wrapper.shouldSync(),
  shouldUpdate: wrapper.shouldUpdate(),
});

test.each([...Object.keys(changing), "dispose"])(
  "%s from the wrapper's own loss closure is an error",
  async (name) => {
    const call = changing[name] ?? ((wrapper: Wrapper) => wrapper.dispose());
    const { seen, wrapper } = model({ accumulativeCounts: 2 });
    wrapper.updateParams(of(1, 1));
    const before = await wrapper.stateDict();
    let inside: Promise<{ readonly code: string }> | undefined;
    const failed = await refusal(() =>
      wrapper.updateParams(() => {
        inside = refusal(() => call(wrapper));
        throw new Error("given up");
      }),
    ).catch((error: unknown) => error);
    expect(failed).toEqual(new Error("given up"));
    expect((await inside)?.code).toBe("reentrant");
    expect(await wrapper.stateDict()).toEqual(before);
    expect(seen.log).toEqual(["loss", "accumulate", "loss"]);
    // It is over with the closure.
    expect(wrapper.updateParams(of(1, 1))).toEqual({ updated: true });
  },
);

test("in a loss closure, getters and other wrappers are free", () => {
  const { wrapper } = model();
  const other = model();
  const outside = getters(wrapper);
  let inside: unknown;
  wrapper.updateParams(() => {
    inside = getters(wrapper);
    other.wrapper.updateParams(of(1, 1));
    return of(1, 1)();
  });
  expect(inside).toEqual(outside);
  expect([...other.w]).toEqual([-1, -1]);
});

test.each(Object.keys(changing))("%s after dispose() is an error", async (name) => {
  const { wrapper } = model();
  wrapper.dispose();
  expect((await refusal(() => changing[name]?.(wrapper))).code).toBe("disposed");
});

test("dispose frees what the wrapper owns and no parameter; twice is fine, and getters go on", () => {
  const { w, seen, wrapper } = model();
  wrapper.updateParams(of(1, 1));
  // One accumulator, one momentum buffer.
  expect(seen.live).toBe(2);
  const before = getters(wrapper);
  wrapper.dispose();
  wrapper.dispose();
  wrapper[Symbol.dispose]();
  expect(seen.live).toBe(0);
  expect([...w]).toEqual([-1, -1]);
  expect(getters(wrapper)).toEqual(before);
});

test("a frozen parameter takes no step and keeps its gradient", async () => {
  const seen = observed();
  const [a, b] = [new Float32Array(1), new Float32Array(1)];
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { a, b }, seen), { accumulativeCounts: 2 });
  wrapper.updateParams(gradients({ a: [2], b: [2] }));
  wrapper.freeze(["b"]);
  wrapper.updateParams(gradients({ a: [4], b: [4] }));
  expect([a[0], b[0]]).toEqual([-3, 0]);
  wrapper.unfreeze(["b"]);
  expect((await refusal(() => wrapper.freeze(["a", "c"]))).code).toBe("unknown-parameter");
  for (const _ of [1, 2]) wrapper.updateParams(gradients({ a: [1], b: [1] }));
  // `a` was not frozen by the call that knew no `c`.
  expect([a[0], b[0]]).toEqual([-4, -1]);
});

test("a parameter that the loss does not reach is left alone, its step count too", async () => {
  const [a, b] = [new Float32Array(1), new Float32Array(1)];
  const wrapper = createOptimWrapper(arrayOptimizer(heavyBall({ momentum: 0.5 }), { a, b }));
  wrapper.updateParams(gradients({ a: [1], b: [1] }));
  wrapper.updateParams(gradients({ a: [1] }));
  // a: 1, then 0.5 · 1 + 1; b does not coast on its momentum
  expect([a[0], b[0]]).toEqual([-2.5, -1]);
  const { params } = (await wrapper.stateDict()).optimizer;
  expect(params.map(({ step }) => step)).toEqual([2, 1]);
});

test("where there is no Symbol.dispose, dispose() is the same", async () => {
  const native = Symbol;
  const without = Object.assign((name: string) => native(name), {
    for: native.for,
    iterator: native.iterator,
    toPrimitive: native.toPrimitive,
  });
  vi.stubGlobal("Symbol", without);
  try {
    vi.resetModules();
    const older = await import("@mm/optim-core");
    const seen = observed();
    const optimizer = arrayOptimizer(heavyBall(), { w: new Float32Array(2) }, seen);
    const wrapper = older.createOptimWrapper(optimizer);
    wrapper.updateParams(of(1, 1));
    wrapper.dispose();
    wrapper.dispose();
    expect(seen.live).toBe(0);
  } finally {
    vi.unstubAllGlobals();
  }
});
