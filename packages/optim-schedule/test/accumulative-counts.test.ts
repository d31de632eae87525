import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import {
  checkSchedulePlan,
  cosine,
  createScheduler,
  custom,
  linear,
  multiStep,
  type SchedulerStateDict,
} from "@mm/optim-schedule";
import { describe, expect, test } from "vitest";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { thrownBy } from "../../../test-support/refusal.ts";
import { batch, wrap, wrapTwo } from "./wrappers.ts";

const twice = multiStep({ milestones: [2, 3], gamma: 2 });

describe("a schedule of accumulativeCounts", () => {
  test("changes the length of windows after an update, and so the batch", () => {
    const w = new Float32Array(1);
    const wrapper = createOptimWrapper(arrayOptimizer(sgd({ lr: 1 }), { w }), { accumulativeCounts: 1 });
    const scheduler = createScheduler(wrapper, { accumulativeCounts: twice });
    const updates: number[] = [];
    for (let count = 1; count <= 12; count += 1) {
      const result = wrapper.updateParams(batch);
      scheduler.step(result);
      if (result.updated) updates.push(count);
    }
    // Windows of 1, 1, then 2 (3 and 4 make one: they end at multiples), then 4.
    expect(updates).toEqual([1, 2, 4, 8, 12]);
    // Every window is the mean of its gradients, which are all 1: five steps of 1.
    expect([...w]).toEqual([-5]);
    expect(wrapper.accumulativeCounts).toBe(4);
  });

  test("a change to a number that the count is no multiple of gives one short window, with its own mean", () => {
    const w = new Float32Array(1);
    const wrapper = createOptimWrapper(arrayOptimizer(sgd({ lr: 1 }), { w }), { accumulativeCounts: 2 });
    const scheduler = createScheduler(wrapper, {
      accumulativeCounts: multiStep({ milestones: [1], gamma: 2 }),
    });
    const updates: number[] = [];
    for (let count = 1; count <= 8; count += 1) {
      const result = wrapper.updateParams(() => ({ w: [count] }));
      scheduler.step(result);
      if (result.updated) updates.push(count);
    }
    expect(updates).toEqual([2, 4, 8]);
    // −(1 + 2)/2 − (3 + 4)/2 − (5 + 6 + 7 + 8)/4
    expect([...w]).toEqual([-11.5]);
  });

  test("is rounded, and 1 at least", () => {
    const wrapper = wrap(sgd(), { accumulativeCounts: 4 });
    const scheduler = createScheduler(wrapper, {
      accumulativeCounts: linear({ startFactor: 0, endFactor: 1, length: 8 }),
    });
    const seen = [wrapper.accumulativeCounts];
    for (let update = 0; update < 8; update += 1) {
      scheduler.step({ updated: true });
      seen.push(wrapper.accumulativeCounts);
    }
    // 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4
    expect(seen).toEqual([1, 1, 1, 2, 2, 3, 3, 4, 4]);
    expect(scheduler.at({ updates: 5 })).toEqual({ accumulativeCounts: [3] });
  });

  test("stands beside those of groups, saves its first value, and resumes", () => {
    const plan = { lr: cosine({ length: 4 }), accumulativeCounts: twice };
    const first = wrapTwo({ accumulativeCounts: 3 });
    const scheduler = createScheduler(first, plan);
    for (const _ of [1, 2]) scheduler.step({ updated: true });
    const state = JSON.parse(JSON.stringify(scheduler.stateDict())) as SchedulerStateDict;
    expect(state.hyperparameters["accumulativeCounts"]).toMatchObject({ initial: {}, baseInitial: 3 });

    const second = wrapTwo({ accumulativeCounts: 5 });
    const resumed = createScheduler(second, plan);
    // The program began with 5, the run with 3, which holds.
    expect(resumed.loadStateDict(state)).toEqual({
      missing: [],
      unexpected: [],
      changed: ["accumulativeCounts"],
    });
    expect([second.accumulativeCounts, second.getLr()]).toEqual([6, first.getLr()]);
    resumed.rewind(2);
    expect(second.accumulativeCounts).toBe(3);

    const third = wrapTwo({ accumulativeCounts: 5 });
    createScheduler(third, plan).loadStateDict(state, { restore: { initial: false } });
    expect(third.accumulativeCounts).toBe(10);
  });

  test("of one scheduler at a time; the next begins with what the first began with", () => {
    const wrapper = wrap(sgd(), { accumulativeCounts: 3 });
    const first = createScheduler(wrapper, { accumulativeCounts: twice });
    for (const _ of [1, 2]) first.step({ updated: true });
    expect(wrapper.accumulativeCounts).toBe(6);
    const second = { accumulativeCounts: multiStep({ milestones: [1], gamma: 3 }) };
    expect(thrownBy(() => createScheduler(wrapper, second)).message).toContain(
      "createScheduler.accumulativeCounts: expected a hyperparameter that no other scheduler drives, got " +
        '"accumulativeCounts"',
    );
    const next = createScheduler(wrapper, second, { replace: true });
    expect(wrapper.accumulativeCounts).toBe(3);
    next.step({ updated: true });
    expect(wrapper.accumulativeCounts).toBe(9);
  });

  test("a count that is none is refused, and nothing changes", () => {
    const wrapper = wrap(sgd(), { accumulativeCounts: 3 });
    const plan = { lr: cosine({ length: 4 }), accumulativeCounts: custom(() => Number.NaN) };
    expect(thrownBy(() => createScheduler(wrapper, plan)).message).toMatch(
      /^createScheduler, after 0 updates: accumulativeCounts: expected an integer of at least 1, got NaN/,
    );
    expect([wrapper.accumulativeCounts, wrapper.getLr()]).toEqual([3, { lr: [1e-3] }]);
  });

  test("a plan is checked before there is a wrapper", () => {
    checkSchedulePlan({ accumulativeCounts: twice }, sgd().hyperparameters);
    expect(thrownBy(() => createScheduler(wrap(sgd()), { innerCount: twice } as never)).code).toBe(
      "unknown-option",
    );
  });
});
