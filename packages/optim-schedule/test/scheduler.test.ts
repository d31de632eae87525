import { createAmpOptimWrapper, createOptimWrapper } from "@mm/optim-core";
import { adam, adamw, type AdamwHyperparameters, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import {
  constant,
  createScheduler,
  custom,
  exponential,
  linear,
  reduceOnPlateau,
  step,
} from "@mm/optim-schedule";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { thrownBy } from "../../../test-support/refusal.ts";
import { batch, wrap, wrapTwo } from "./wrappers.ts";

const halve = exponential({ gamma: 0.5 });
const updated = { updated: true };

describe("what is written", () => {
  test("into every group and the base settings, when it is made and at every count", () => {
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: linear({ startFactor: 0.5, length: 2 }) });
    expect(wrapper.getLr()).toEqual({ baseLr: [0.05], lr: [0.05, 0.005] });
    scheduler.step(updated);
    // 0.5 + 0.5 × 1/2
    expect(wrapper.getLr()).toEqual({ baseLr: [0.1 * 0.75], lr: [0.1 * 0.75, 0.01 * 0.75] });
    scheduler.step(updated);
    expect(wrapper.getLr()).toEqual({ baseLr: [0.1], lr: [0.1, 0.01] });
  });

  test("any numeric hyperparameter, and nothing else", () => {
    const wrapper = wrap(sgd({ lr: 0.1, momentum: 0.8, weightDecay: 0.4 }));
    createScheduler(wrapper, { momentum: halve, weightDecay: step({ stepSize: 1, gamma: 0.5 }) }).step(
      updated,
    );
    expect(wrapper.paramGroups[0]).toMatchObject({ lr: 0.1, momentum: 0.4, weightDecay: 0.2, dampening: 0 });
  });

  test("in groups with rules of their own, by what each of them has", () => {
    const wrapper = createOptimWrapper(
      arrayOptimizer<AdamwHyperparameters, AdamwHyperparameters | SgdHyperparameters>(adamw({ lr: 0.5 }), [
        { name: "hidden", params: { a: new Float32Array(1) }, rule: sgd({ lr: 2, momentum: 0.5 }) },
        { name: "rest", params: { b: new Float32Array(1) }, betas: [0.75, 0.5] },
      ]),
    );
    const plan = { lr: halve, momentum: halve, "betas[1]": halve, dampening: halve } as const;
    const scheduler = createScheduler(wrapper, plan);
    scheduler.step(updated);
    expect(wrapper.paramGroups[0]).toMatchObject({ lr: 1, momentum: 0.25, dampening: 0 });
    expect(wrapper.paramGroups[1]).toMatchObject({ lr: 0.25, betas: [0.375, 0.25] });
    expect(wrapper.baseParamSettings).toMatchObject({ lr: 0.25, betas: [0.45, 0.4995] });
    expect(scheduler.at({ updates: 2 })["betas[1]"]).toEqual([Number.NaN, 0.125]);
    const refused = thrownBy(() => createScheduler(wrapper, { rho: halve } as never, { replace: true }));
    expect([refused.code, refused.message]).toEqual(["unknown-option", expect.stringContaining("dampening")]);
  });

  test("of betas one number, by its place; momentum is the first where there is no other", () => {
    const wrapper = wrap(adam({ betas: [0.8, 0.96] }));
    createScheduler(wrapper, { momentum: halve, "betas[1]": halve }).step(updated);
    expect(wrapper.paramGroups[0].betas).toEqual([0.4, 0.48]);
    expect(wrapper.getMomentum()).toEqual({ momentum: [0.4] });
  });

  test("only what changed: a value that stays is not assigned", () => {
    const wrapper = wrapTwo();
    let assigned = 0;
    const groups = wrapper.paramGroups.map((group) =>
      Object.defineProperty({ name: group.name, lr: group.lr }, "lr", {
        get: () => group.lr,
        set: (value: number) => {
          assigned += 1;
          group.lr = value;
        },
      }),
    );
    const watched = new Proxy(wrapper, {
      get: (target, name: keyof typeof wrapper) => (name === "paramGroups" ? groups : target[name]),
    });
    const scheduler = createScheduler(watched, { lr: step({ stepSize: 3 }) });
    expect(assigned).toBe(0);
    for (let update = 0; update < 7; update += 1) scheduler.step(updated);
    // At 3 and at 6, in 2 groups.
    expect(assigned).toBe(4);
  });

  test("over what was assigned by hand, at the next count", () => {
    const wrapper = wrap(sgd({ lr: 0.1 }));
    const scheduler = createScheduler(wrapper, { lr: halve });
    wrapper.paramGroups[0].lr = 7;
    scheduler.step({ updated: false });
    expect(wrapper.paramGroups[0].lr).toBe(7);
    scheduler.step(updated);
    expect(wrapper.paramGroups[0].lr).toBe(0.05);
  });

  test("into a group that was added: it goes on from what it was added with", () => {
    const wrapper = wrap(sgd({ lr: 0.1 }));
    const scheduler = createScheduler(wrapper, { lr: halve });
    scheduler.step(updated);
    wrapper.addParamGroup({ name: "head", params: { v: new Float32Array(1) }, lr: 0.4 });
    scheduler.apply();
    // The base settings come with the second group, at the rule's 0.1.
    expect(wrapper.getLr()).toEqual({ baseLr: [0.05], lr: [0.05, 0.4] });
    scheduler.step(updated);
    // 0.4 × 0.5² ÷ 0.5
    expect(wrapper.getLr().lr).toEqual([0.025, 0.2]);
  });

  test("nothing at all, when the rule refuses one of the values", () => {
    const wrapper = wrapTwo();
    const rising = custom((count, value) => value * 1.2 ** count);
    const scheduler = createScheduler(wrapper, {
      lr: halve,
      momentum: [rising, custom((count, v) => (count > 2 ? -1 : v))],
    });
    scheduler.step(updated);
    scheduler.step(updated);
    const before = [wrapper.getLr(), wrapper.getMomentum(), scheduler.stateDict()];
    expect(() => scheduler.step(updated)).toThrow(/momentum/);
    expect([wrapper.getLr(), wrapper.getMomentum(), scheduler.stateDict()]).toEqual(before);
    scheduler.rewind(1);
    expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
  });
});

describe("what is counted", () => {
  test("updates, so that accumulation does not run a schedule ahead", () => {
    const wrapper = wrap(sgd({ lr: 1 }), { accumulativeCounts: 4 });
    wrapper.initializeCountStatus({ maxCounts: 10 });
    const scheduler = createScheduler(wrapper, { lr: halve });
    const rates: number[] = [];
    for (let micro = 0; micro < 10; micro += 1) {
      scheduler.step(wrapper.updateParams(batch));
      rates.push(wrapper.paramGroups[0].lr);
    }
    // Windows of 4, 4 and the last 2.
    expect(rates).toEqual([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
    expect(scheduler.updates).toBe(3);
  });

  test("a flush, and steps by hand", () => {
    const wrapper = wrap(sgd({ lr: 1 }), { accumulativeCounts: 4 });
    const scheduler = createScheduler(wrapper, { lr: halve });
    scheduler.step(wrapper.flush());
    expect(scheduler.updates).toBe(0);
    wrapper.backward(batch);
    scheduler.step(wrapper.flush());
    wrapper.backward(batch);
    wrapper.step();
    scheduler.step(updated);
    expect(scheduler.updates).toBe(2);
  });

  test("epochs, for the schedules that ask for them", () => {
    const wrapper = wrap(sgd({ lr: 1 }));
    const scheduler = createScheduler(wrapper, {
      lr: [linear({ startFactor: 0.5, length: 2 }), step({ stepSize: 2, gamma: 0.1, by: "epoch" })],
    });
    const rates: number[] = [];
    for (let epoch = 0; epoch < 3; epoch += 1) {
      for (let update = 0; update < 2; update += 1) {
        rates.push(wrapper.paramGroups[0].lr);
        scheduler.step(wrapper.updateParams(batch));
      }
      scheduler.stepEpoch();
    }
    expect(rates).toEqual([0.5, 0.75, 1, 1, 0.1, 0.1]);
    expect([scheduler.updates, scheduler.epochs]).toEqual([6, 3]);
  });

  test("a step that was skipped, until it is taken back", async () => {
    const wrapper = createAmpOptimWrapper(arrayOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }), {
      lossScale: { initScale: 8 },
    });
    const scheduler = createScheduler(wrapper, { lr: halve });
    for (const gradient of [1, Number.POSITIVE_INFINITY, 1, Number.NaN]) {
      scheduler.step(wrapper.updateParams(() => ({ w: [gradient] })));
    }
    expect([scheduler.updates, wrapper.paramGroups[0].lr]).toEqual([4, 1 / 16]);
    const { steps, skipped } = await wrapper.readMetrics();
    scheduler.rewind(skipped);
    expect([scheduler.updates, wrapper.paramGroups[0].lr]).toEqual([steps, 1 / 4]);
  });

  test("measures, for the schedules that listen", () => {
    const wrapper = wrap(sgd({ lr: 1 }));
    const scheduler = createScheduler(wrapper, {
      lr: [halve, reduceOnPlateau({ factor: 0.1, patience: 0 })],
    });
    scheduler.step(updated);
    for (const loss of [3, 2, 2]) scheduler.observe(loss);
    expect(wrapper.paramGroups[0].lr).toBe(0.5 * 0.1);
    scheduler.step(updated);
    expect(wrapper.paramGroups[0].lr).toBe(0.25 * 0.1);
  });
});

test("any count can be asked for, without going there", () => {
  const wrapper = wrapTwo();
  const scheduler = createScheduler(wrapper, {
    lr: halve,
    momentum: constant({ factor: 0.5, by: "epoch", length: 1 }),
  });
  expect(scheduler.at({ updates: 3 })).toEqual({ lr: [0.1 / 8, 0.01 / 8], momentum: [0.45, 0.45] });
  expect(scheduler.at({ updates: 0, epochs: 1 })).toEqual({ lr: [0.1, 0.01], momentum: [0.9, 0.9] });
  expect(wrapper.getLr().lr).toEqual([0.1, 0.01]);
});

test("a plan without anything counts", () => {
  const wrapper = createOptimWrapper(arrayOptimizer(sgd(), { w: new Float32Array(1) }));
  const scheduler = createScheduler(wrapper, {});
  scheduler.step(updated);
  expect([scheduler.updates, scheduler.at({ updates: 1 })]).toEqual([1, {}]);
});
