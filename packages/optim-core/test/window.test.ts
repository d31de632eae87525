import {
  createOptimWrapper,
  type CountStatus,
  type OptimWrapper,
  type UpdateParamsOptions,
} from "@mm/optim-core";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, type LossClosure, observed, type Observed } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

// θ begins at 0 and η is 1, so θ is minus the sum of the gradients that were applied.
function scalarModel(accumulativeCounts: number, seen: Observed = observed()) {
  const w = new Float32Array(1);
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w }, seen), { accumulativeCounts });
  return { w, wrapper, seen };
}

const of = (gradient: number): LossClosure => gradients({ w: [gradient] });

/** The divisor of each of `calls` updates, and whether it was told to synchronize and did step. */
function windows(wrapper: OptimWrapper<LossClosure, number>, calls: number) {
  const factors: number[] = [];
  const synced: boolean[] = [];
  const updated: boolean[] = [];
  for (let call = 0; call < calls; call += 1) {
    factors.push(wrapper.lossFactor());
    synced.push(wrapper.shouldSync());
    updated.push(wrapper.updateParams(of(1)).updated);
    expect(wrapper.shouldUpdate()).toBe(updated.at(-1));
  }
  return { factors, synced, updated };
}

const yes = true;
const no = false;

test.each<[string, number, CountStatus | undefined, readonly number[], readonly boolean[]]>([
  ["no window", 1, { maxCounts: 3 }, [1, 1, 1], [yes, yes, yes]],
  ["7 by 3: a tail of 1", 3, { maxCounts: 7 }, [3, 3, 3, 3, 3, 3, 1], [no, no, yes, no, no, yes, yes]],
  ["8 by 3: a tail of 2", 3, { maxCounts: 8 }, [3, 3, 3, 3, 3, 3, 2, 2], [no, no, yes, no, no, yes, no, yes]],
  ["6 by 3: no tail", 3, { maxCounts: 6 }, [3, 3, 3, 3, 3, 3], [no, no, yes, no, no, yes]],
  ["3 by 4: the tail is all", 4, { maxCounts: 3 }, [3, 3, 3], [no, no, yes]],
  ["the end is not known: no tail", 3, undefined, [3, 3, 3, 3], [no, no, yes, no]],
  ["resumed at 99 of 100", 3, { initCounts: 99, maxCounts: 100 }, [1], [yes]],
  ["resumed at 96 of 100", 3, { initCounts: 96, maxCounts: 100 }, [3, 3, 3, 1], [no, no, yes, yes]],
  // Here MMEngine divides by 3, the length that the window would have had.
  ["resumed at 2, within a window of 3", 3, { initCounts: 2 }, [1, 3, 3, 3], [yes, no, no, yes]],
  ["resumed at 4 of 5", 3, { initCounts: 4, maxCounts: 5 }, [1], [yes]],
])("windows: %s", (_, accumulativeCounts, status, factors, updated) => {
  const { wrapper, seen } = scalarModel(accumulativeCounts);
  if (status !== undefined) wrapper.initializeCountStatus(status);
  // A window ends where the gradients should be synchronized, which is asked before the forward pass.
  expect(windows(wrapper, factors.length)).toEqual({ factors, synced: updated, updated });
  expect(wrapper.innerCount).toBe((status?.initCounts ?? 0) + factors.length);
  expect(seen.log.filter((stage) => stage === "update")).toHaveLength(updated.filter(Boolean).length);
});

test("before any backward it stands at a boundary, as 0 mod n does", () => {
  expect(scalarModel(3).wrapper.shouldUpdate()).toBe(true);
});

test("a window's gradient is the mean", () => {
  const { w, wrapper } = scalarModel(3);
  for (const gradient of [6, 3]) wrapper.updateParams(of(gradient));
  expect(w[0]).toBe(0);
  wrapper.updateParams(of(9));
  // (6 + 3 + 9) / 3 = 6; thirds of these are exact in float32
  expect(w[0]).toBe(-6);
});

test("the last, short window is divided by its own length", () => {
  const { w, wrapper } = scalarModel(4);
  wrapper.initializeCountStatus({ maxCounts: 6 });
  for (const gradient of [4, 8, 4, 8]) wrapper.updateParams(of(gradient));
  expect(w[0]).toBe(-6);
  for (const gradient of [1, 3]) wrapper.updateParams(of(gradient));
  // 6 + (1 + 3) / 2 = 8
  expect(w[0]).toBe(-8);
});

test("past maxCounts: an error, and nothing has changed", async () => {
  const { w, wrapper, seen } = scalarModel(3);
  wrapper.initializeCountStatus({ maxCounts: 1 });
  wrapper.updateParams(of(5));
  seen.log.length = 0;
  for (const call of [
    () => wrapper.updateParams(of(1)),
    () => wrapper.backward(of(1)),
    () => wrapper.lossFactor(),
  ]) {
    expect((await refusal(call)).code).toBe("count-exceeded");
  }
  expect(seen.log).toEqual([]);
  expect([wrapper.innerCount, w[0]]).toEqual([1, -5]);

  wrapper.initializeCountStatus({ initCounts: 1, maxCounts: 3 });
  expect(windows(wrapper, 2).updated).toEqual([false, true]);
});

test("no calls at all may be announced", async () => {
  const { wrapper } = scalarModel(1);
  wrapper.initializeCountStatus({ maxCounts: 0 });
  expect((await refusal(() => wrapper.updateParams(of(1)))).code).toBe("count-exceeded");
});

test("flush steps a short window, divided by its own length; the next one ends at the boundary", () => {
  const { w, wrapper } = scalarModel(4);
  for (const gradient of [2, 6]) wrapper.updateParams(of(gradient));
  expect(wrapper.flush()).toEqual({ updated: true });
  // (2 + 6) / 2 = 4
  expect([w[0], wrapper.innerCount]).toEqual([-4, 2]);

  expect(windows(wrapper, 2)).toEqual({ factors: [2, 2], synced: [false, true], updated: [false, true] });
  // 4 + (1 + 1) / 2 = 5
  expect([w[0], wrapper.innerCount]).toEqual([-5, 4]);
  expect(wrapper.lossFactor()).toBe(4);
});

test("flush of an empty window does nothing", () => {
  const { w, wrapper, seen } = scalarModel(2);
  expect(wrapper.flush()).toEqual({ updated: false });
  for (const gradient of [1, 1]) wrapper.updateParams(of(gradient));
  seen.log.length = 0;
  expect(wrapper.flush()).toEqual({ updated: false });
  expect(seen.log).toEqual([]);
  expect([w[0], wrapper.innerCount]).toEqual([-1, 2]);
});

test("flush divides by the scales that were used", () => {
  const { w, wrapper } = scalarModel(4);
  wrapper.backward(of(2), { scale: 0.5 });
  wrapper.backward(of(4), { scale: 1.5 });
  wrapper.flush();
  // (0.5 · 2 + 1.5 · 4) / (0.5 + 1.5) = 7 / 2
  expect(w[0]).toBe(-3.5);
});

test("weights: the window's gradient is the weighted mean, also of a short window", () => {
  const { w, wrapper } = scalarModel(2);
  wrapper.updateParams(of(2), { weight: 1 });
  wrapper.updateParams(of(6), { weight: 3 });
  // (1 · 2 + 3 · 6) / (1 + 3) = 5
  expect(w[0]).toBe(-5);
  // The next window knows nothing of weights: 5 + (1 + 3) / 2 = 7
  for (const gradient of [1, 3]) wrapper.updateParams(of(gradient));
  expect(w[0]).toBe(-7);
  // Some without a weight count as 1: 7 + (1 · 2 + 3 · 6) / (1 + 3) = 12
  wrapper.updateParams(of(2));
  wrapper.updateParams(of(6), { weight: 3 });
  expect(w[0]).toBe(-12);
  wrapper.updateParams(of(3), { weight: 64 });
  wrapper.flush();
  expect(w[0]).toBe(-15);
});

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, "2", null])(
  "the weight %s is refused",
  async (weight) => {
    const { wrapper, seen } = scalarModel(2);
    const options = { weight } as UpdateParamsOptions;
    const error = await refusal(() => wrapper.updateParams(of(1), options));
    expect(error.code).toBe("invalid-option");
    expect(error.message).toContain("weight");
    expect([wrapper.innerCount, seen.log]).toEqual([0, []]);
  },
);

test("zeroGrad drops a window in progress: what is left of it is divided by what is left", () => {
  const { w, wrapper } = scalarModel(3);
  wrapper.updateParams(of(100));
  wrapper.zeroGrad();
  expect([wrapper.innerCount, wrapper.lossFactor()]).toEqual([1, 2]);
  for (const gradient of [2, 4]) wrapper.updateParams(of(gradient));
  // (2 + 4) / 2 = 3
  expect([w[0], wrapper.innerCount]).toEqual([-3, 3]);
});

test("by hand: backward counts and divides by nothing, step ignores the window and keeps the gradients", () => {
  const { w, wrapper } = scalarModel(3);
  wrapper.backward(of(2));
  wrapper.backward(of(4));
  expect([wrapper.innerCount, w[0]]).toEqual([2, 0]);
  wrapper.step({ rescale: 1 / 2 });
  expect(w[0]).toBe(-3);
  wrapper.step({ rescale: 1 / 2 });
  expect(w[0]).toBe(-6);
  wrapper.zeroGrad();
  wrapper.step();
  expect([wrapper.innerCount, w[0]]).toEqual([2, -6]);
});

test("the same by hand as by updateParams", () => {
  const [a, b] = [scalarModel(3), scalarModel(3)];
  for (const gradient of [1, 2, 4, 8, 16, 32]) {
    a.wrapper.updateParams(of(gradient));
    b.wrapper.backward(of(gradient), { scale: 1 / b.wrapper.lossFactor() });
    if (b.wrapper.shouldUpdate()) {
      b.wrapper.step();
      b.wrapper.zeroGrad();
    }
    expect(b.w).toEqual(a.w);
  }
});

test("gradients from before the first updateParams count in it, with the weight of their scale", () => {
  const { w, wrapper } = scalarModel(2);
  wrapper.backward(of(8));
  expect(wrapper.updateParams(of(4)).updated).toBe(true);
  // The window's divisor is 2, so a scale of 1 is a weight of 2: (2 · 8 + 1 · 4) / (2 + 1)
  expect(w[0]).toBeCloseTo(-20 / 3, 6);
  // In windows of 1, 1 by hand and then 3 are two of weight 1: (1 + 3) / 2
  const single = scalarModel(1);
  single.wrapper.backward(of(1));
  expect(single.wrapper.updateParams(of(3)).updated).toBe(true);
  expect(single.w[0]).toBe(-2);
});

test("counts cannot be set in mid-window", async () => {
  const { wrapper } = scalarModel(2);
  wrapper.updateParams(of(1));
  const error = await refusal(() => wrapper.initializeCountStatus({ initCounts: 10 }));
  expect(error.code).toBe("window-open");
  expect(wrapper.innerCount).toBe(1);
  wrapper.flush();
  wrapper.initializeCountStatus({ initCounts: 10 });
  expect(wrapper.innerCount).toBe(10);
  wrapper.initializeCountStatus({});
  expect(wrapper.innerCount).toBe(0);
});

test.each<[string, unknown, "invalid-option" | "unknown-option"]>([
  ["nothing", undefined, "invalid-option"],
  ["null", null, "invalid-option"],
  ["a number", 3, "invalid-option"],
  ["a fraction", { initCounts: 0.5 }, "invalid-option"],
  ["a negative count", { initCounts: -1 }, "invalid-option"],
  ["a string", { maxCounts: "10" }, "invalid-option"],
  ["NaN", { maxCounts: Number.NaN }, "invalid-option"],
  ["infinity", { maxCounts: Number.POSITIVE_INFINITY }, "invalid-option"],
  ["a bound below the beginning", { initCounts: 5, maxCounts: 4 }, "invalid-option"],
  ["MMEngine's name", { init_counts: 5 }, "unknown-option"],
])("a count status of %s is refused", async (_, status, code) => {
  const { wrapper } = scalarModel(1);
  wrapper.initializeCountStatus({ initCounts: 3, maxCounts: 9 });
  expect((await refusal(() => wrapper.initializeCountStatus(status as CountStatus))).code).toBe(code);
  expect(wrapper.innerCount).toBe(3);
});
