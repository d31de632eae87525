import { createOptimWrapper, type OptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, type LossClosure } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

// θ begins at 0 and η is 1, so θ is minus the sum of what was applied.
function model(options: OptimWrapperOptions) {
  const w = new Float32Array(1);
  return { w, wrapper: createOptimWrapper(arrayOptimizer(descent(), { w }), options) };
}

const of = (gradient: number): LossClosure => gradients({ w: [gradient] });

describe("a window that began under another loss scale", () => {
  const scales = {
    plain: () => undefined,
    static: () => 64,
    dynamic: () => ({ initScale: 1024 }),
    shared: () => arrayOptimizer(descent(), { w: new Float32Array(1) }).createLossScaler({ initScale: 256 }),
  } as const;
  const names = Object.keys(scales) as (keyof typeof scales)[];
  const pairs = names.flatMap((from) => names.map((to) => [from, to] as const));

  test.each(pairs)("%s, loaded into %s: (1 + 3) / 2 is applied", async (from, to) => {
    for (const lossScaler of [true, false]) {
      const before = model({ accumulativeCounts: 2, lossScale: scales[from]() });
      before.wrapper.updateParams(of(1));
      const after = model({ accumulativeCounts: 2, lossScale: scales[to]() });
      await after.wrapper.loadStateDict(await before.wrapper.stateDict(), { restore: { lossScaler } });
      after.wrapper.updateParams(of(3));
      expect(after.w[0]).toBe(-2);
      // The next window knows nothing of it.
      for (const gradient of [5, 7]) after.wrapper.updateParams(of(gradient));
      expect(after.w[0]).toBe(-8);
    }
  });

  test.each(["static", "dynamic", "shared"] as const)(
    "a plain one ends at scale 1 in %s: an overflow is skipped, and not told to the scaler",
    async (to) => {
      const before = model({ accumulativeCounts: 2 });
      before.wrapper.updateParams(of(1));
      const { w, wrapper } = model({ accumulativeCounts: 2, lossScale: scales[to]() });
      await wrapper.loadStateDict(await before.wrapper.stateDict());
      const scale = await wrapper.lossScaler?.readScale();
      wrapper.updateParams(of(Number.POSITIVE_INFINITY));
      wrapper.lossScaler?.update();
      expect(w[0]).toBe(0);
      expect(await wrapper.readMetrics()).toMatchObject({ skipped: 1, steps: 0, lossScale: scale });
    },
  );
});

test("gradients that were accumulated without a loss scale carry 1, by hand too", () => {
  const w = new Float32Array(1);
  const optimizer = arrayOptimizer(descent(), { w });
  const lossScaler = optimizer.createLossScaler(64);
  optimizer.backward(of(1));
  optimizer.backward(of(2), { lossScaler });
  expect(optimizer.step({ lossScaler })).toBe(true);
  expect(w[0]).toBe(-3);
});

describe("a window that is loaded under other counts", () => {
  const trained = async (counts: number, ...given: readonly number[]) => {
    const { wrapper } = model({ accumulativeCounts: counts });
    for (const gradient of given) wrapper.updateParams(of(gradient));
    return wrapper.stateDict();
  };

  test.each([
    // Saved at 2 of 4; windows of 8 end at 8: (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8) / 8
    [8, [3, 4, 5, 6, 7, 8], -4.5],
    // Windows of 3 end at 3: (1 + 2 + 6) / 3
    [3, [6], -3],
    // Of 1: the next count is a boundary: (1 + 2 + 6) / 3
    [1, [6], -3],
    [4, [4, 5], -3],
  ])("2 of 4, then windows of %d: a mean all the same", async (counts, rest, expected) => {
    const state = await trained(4, 1, 2);
    const { w, wrapper } = model({ accumulativeCounts: counts });
    await wrapper.loadStateDict(state);
    const updated = rest.map((gradient) => wrapper.updateParams(of(gradient)).updated);
    expect(updated).toEqual([...rest.slice(1).map(() => false), true]);
    expect(w[0]).toBeCloseTo(expected, 6);
  });

  test("a state that was saved when windows had no divisor", async () => {
    const state = await trained(4, 1, 2);
    const counts = { innerCount: 2, windowStart: 0, scaleSum: 0.5, weighted: false };
    const { w, wrapper } = model({ accumulativeCounts: 4 });
    await wrapper.loadStateDict({ ...state, counts: counts as never });
    for (const gradient of [4, 5]) wrapper.updateParams(of(gradient));
    // (1 + 2 + 4 + 5) / 4
    expect(w[0]).toBe(-3);
  });
});

describe("accumulativeCounts may be assigned", () => {
  test.each([
    // The divisor is fixed at 4; the window ends at the next multiple of 3: (1 + 2 + 6) / 3.
    [3, [6], -3],
    // … of 2, which 2 was already: (1 + 2 + 3 + 6) / 4
    [2, [3, 6], -3],
    [6, [3, 4, 5, 9], -4],
  ])("to %d in mid-window", (counts, rest, expected) => {
    const { w, wrapper } = model({ accumulativeCounts: 4 });
    for (const gradient of [1, 2]) wrapper.updateParams(of(gradient));
    wrapper.accumulativeCounts = counts;
    expect([wrapper.accumulativeCounts, wrapper.lossFactor()]).toEqual([counts, 4]);
    for (const gradient of rest) wrapper.updateParams(of(gradient));
    expect(w[0]).toBeCloseTo(expected, 6);
    expect(wrapper.shouldUpdate()).toBe(true);
  });

  test.each([0, -1, 1.5, Number.NaN, "2", undefined])("but not to %s", async (counts) => {
    const { wrapper } = model({ accumulativeCounts: 4 });
    const assign = (): void => void (wrapper.accumulativeCounts = counts as number);
    expect((await refusal(assign)).code).toBe("invalid-option");
    expect(wrapper.accumulativeCounts).toBe(4);
  });
});

describe("a weight of 0", () => {
  const never: LossClosure = () => {
    throw new Error("run although nobody asked for its value");
  };

  test("accumulates nothing, whatever the loss is; its closure runs only for its value", () => {
    const { w, wrapper } = model({ accumulativeCounts: 3 });
    wrapper.updateParams(of(2));
    wrapper.updateParams(never, { weight: 0 });
    const masked = gradients({ w: [Number.NaN] }, Number.NaN);
    expect(wrapper.updateParams(masked, { weight: 0, returnLoss: true })).toEqual({
      updated: true,
      loss: Number.NaN,
    });
    expect(w[0]).toBe(-2);
  });

  test("skip() counts one, without a closure", async () => {
    const { w, wrapper } = model({ accumulativeCounts: 3 });
    expect(wrapper.skip()).toEqual({ updated: false });
    wrapper.updateParams(of(2));
    expect(wrapper.skip()).toEqual({ updated: true });
    expect([w[0], wrapper.innerCount]).toEqual([-2, 3]);
    wrapper.initializeCountStatus({ initCounts: 3, maxCounts: 3 });
    expect((await refusal(() => wrapper.skip())).code).toBe("count-exceeded");
    expect(wrapper.innerCount).toBe(3);
  });

  test("a window of nothing else ends without a step", async () => {
    const { w, wrapper } = model({ accumulativeCounts: 2 });
    for (const updated of [false, false]) {
      expect(wrapper.updateParams(never, { weight: 0 })).toEqual({ updated });
    }
    expect(wrapper.flush()).toEqual({ updated: false });
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 0, skipped: 0 });
    for (const gradient of [1, 3]) wrapper.updateParams(of(gradient));
    expect(w[0]).toBe(-2);
  });
});

test("scales that cancel out are no mean: an error says what to do, and nothing is dropped", async () => {
  const { w, wrapper } = model({ accumulativeCounts: 4 });
  wrapper.backward(of(2), { scale: 1 });
  wrapper.backward(of(1), { scale: -1 });
  const error = await refusal(() => wrapper.flush());
  expect(error).toMatchObject({ code: "invalid-option" });
  expect(error.message).toMatch(/^flush: the scales of this window: .*zeroGrad\(\) by hand/);
  wrapper.step();
  expect(w[0]).toBe(-1);
});

describe("a run that is made longer", () => {
  // Twelve unequal gradients in windows of 4, of which the run of 6 knows the first six.
  const all = Array.from({ length: 12 }, (_, index) => 2 ** (index % 5) + index);
  const run = (
    wrapper: OptimWrapper<LossClosure, number>,
    from: number,
    to: number,
  ): OptimWrapper<LossClosure, number> => {
    for (const gradient of all.slice(from, to)) wrapper.updateParams(of(gradient));
    return wrapper;
  };
  const whole = (): number => {
    const { w, wrapper } = model({ accumulativeCounts: 4 });
    wrapper.initializeCountStatus({ maxCounts: 12 });
    run(wrapper, 0, 12);
    return w[0] as number;
  };
  const saved = async (at: number) => {
    const { w, wrapper } = model({ accumulativeCounts: 4 });
    wrapper.initializeCountStatus({ maxCounts: 6 });
    return { value: w, state: await run(wrapper, 0, at).stateDict() };
  };

  test.each([1, 2, 4, 5])("saved at %d of 6 and continued to 12, it equals one of 12", async (at) => {
    for (const order of ["status first", "state first", "state first, counts named"] as const) {
      const { value, state } = await saved(at);
      const { w, wrapper } = model({ accumulativeCounts: 4 });
      w.set(value);
      const statusFirst = order === "status first";
      if (statusFirst) wrapper.initializeCountStatus({ maxCounts: 12 });
      expect((await wrapper.loadStateDict(state)).changed).toEqual(statusFirst ? ["maxCounts"] : []);
      if (!statusFirst) {
        wrapper.initializeCountStatus({
          maxCounts: 12,
          ...(order === "state first" && at % 4 !== 0 ? {} : { initCounts: at }),
        });
      }
      run(wrapper, at, 12);
      // The divisor of the window that 5 lies in was 2, and is 4 in the whole run: a power of two apart, so equal to the bit.
      expect(w[0]).toBe(whole());
    }
  });

  test("says where its limit came from", async () => {
    const { state } = await saved(5);
    const { wrapper } = model({ accumulativeCounts: 4 });
    await wrapper.loadStateDict(state);
    wrapper.updateParams(of(1));
    const loaded = await refusal(() => wrapper.updateParams(of(1)));
    expect(loaded.code).toBe("count-exceeded");
    expect(loaded.message).toContain("of the state that was loaded");
    wrapper.initializeCountStatus({ initCounts: 6, maxCounts: 7 });
    wrapper.updateParams(of(1));
    const announced = await refusal(() => wrapper.updateParams(of(1)));
    expect(announced.message).toContain("of initializeCountStatus");
  });

  test("a program that ends before the state has no count left, and what it saves loads again", async () => {
    const { state } = await saved(5);
    const { wrapper } = model({ accumulativeCounts: 4 });
    wrapper.initializeCountStatus({ maxCounts: 3 });
    expect((await wrapper.loadStateDict(state)).changed).toEqual(["maxCounts"]);
    expect((await refusal(() => wrapper.updateParams(of(1)))).code).toBe("count-exceeded");
    const again = await wrapper.stateDict();
    expect(again.counts).toMatchObject({ innerCount: 5, maxCounts: 3 });
    const other = model({ accumulativeCounts: 4 }).wrapper;
    await other.loadStateDict(again);
    expect((await refusal(() => other.updateParams(of(1)))).message).toContain(
      "at most 3 (maxCounts of the state that was loaded), got 6",
    );
    // The window that was open ends all the same.
    expect(other.flush()).toEqual({ updated: true });
  });

  test("after a load in mid-window its end may be set, and nothing else; after the next backward not even that", async () => {
    const { state } = await saved(5);
    const { wrapper } = model({ accumulativeCounts: 4 });
    await wrapper.loadStateDict(state);
    expect((await refusal(() => wrapper.initializeCountStatus({ initCounts: 0, maxCounts: 9 }))).code).toBe(
      "window-open",
    );
    expect((await refusal(() => wrapper.initializeCountStatus({ maxCounts: 4 }))).code).toBe(
      "invalid-option",
    );
    wrapper.initializeCountStatus({ maxCounts: 12 });
    wrapper.updateParams(of(1));
    expect((await refusal(() => wrapper.initializeCountStatus({ maxCounts: 20 }))).code).toBe("window-open");
  });
});
