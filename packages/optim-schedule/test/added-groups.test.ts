import { sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { expect, test } from "vitest";
import {
  cosine,
  createScheduler,
  custom,
  exponential,
  linear,
  reduceOnPlateau,
  type Scheduler,
  step,
} from "@mm/optim-schedule";
import { thrownBy } from "../../../test-support/refusal.ts";
import { batch, wrap, type Wrapper } from "./wrappers.ts";

const updated = { updated: true };
const tenth = step({ stepSize: 10, gamma: 0.1 });

function run(scheduler: Scheduler, updates: number): Scheduler {
  for (let update = 0; update < updates; update += 1) scheduler.step(updated);
  return scheduler;
}

function add(wrapper: Wrapper<SgdHyperparameters>, lr: number, name = "head"): void {
  wrapper.addParamGroup({ name, params: { [name]: new Float32Array(1) }, lr });
}

const rateOf = (wrapper: Wrapper<SgdHyperparameters>, name = "head"): number =>
  wrapper.paramGroups.find((group) => group.name === name)!.lr;

test("a group that is added after three reductions by ten keeps its own value, and takes the next", () => {
  const wrapper = wrap(sgd({ lr: 0.5 }));
  const scheduler = run(createScheduler(wrapper, { lr: tenth }), 35);
  add(wrapper, 0.5);
  run(scheduler, 1);
  expect(rateOf(wrapper)).toBe(0.5);
  run(scheduler, 4);
  // At 40: 0.5 × 1e-4 ÷ 1e-3.
  expect(rateOf(wrapper)).toBeCloseTo(0.05, 15);
  expect(rateOf(wrapper, "0")).toBeCloseTo(0.5e-4, 15);
  // The base settings came with the second group, and stand for the rule's own values: as if they had always been there.
  expect(wrapper.getLr().baseLr![0]).toBeCloseTo(0.5e-4, 15);
});

/** Two updates of 1, halved at each, and then a group with 0.8. */
function addAfterTwo(): { readonly wrapper: Wrapper<SgdHyperparameters>; readonly scheduler: Scheduler } {
  const wrapper = wrap(sgd({ lr: 1 }));
  const scheduler = run(createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) }), 2);
  add(wrapper, 0.8);
  return { wrapper, scheduler };
}

test("it joins at the count of the scheduler when that first moves with it", () => {
  const { wrapper, scheduler } = addAfterTwo();
  run(scheduler, 1);
  // 0.8 × 0.5³ ÷ 0.5².
  expect(rateOf(wrapper)).toBe(0.4);
});

test("whatever is read or written before", () => {
  const { wrapper, scheduler } = addAfterTwo();
  scheduler.stateDict();
  expect(scheduler.at({ updates: 3 })).toEqual({ lr: [1 / 8, 0.4] });
  scheduler.apply();
  expect(rateOf(wrapper)).toBe(0.8);
  run(scheduler, 1);
  expect(rateOf(wrapper)).toBe(0.4);
});

test("where the schedules were at 0, or not finite, when it was added, they hold as they are", () => {
  const schedules = [
    // Up from 0 in four counts.
    [linear({ startFactor: 0, length: 4 }), 0],
    [custom((count, value) => (count === 1 && value === 0.8 ? Infinity : value / 4)), 1],
  ] as const;
  for (const [schedule, count] of schedules) {
    const wrapper = wrap(sgd({ lr: 1 }));
    const scheduler = run(createScheduler(wrapper, { lr: schedule }), count);
    add(wrapper, 0.8);
    run(scheduler, 1);
    expect(rateOf(wrapper)).toBe(0.8 / 4);
  }
});

test("of a warm-up and a cosine, by the share that is left of both", () => {
  const wrapper = wrap(sgd({ lr: 0.1 }));
  const plan = { lr: [linear({ startFactor: 0.1, length: 10 }), cosine({ begin: 10, length: 90 })] };
  const scheduler = run(createScheduler(wrapper, plan), 55);
  add(wrapper, 0.3);
  run(scheduler, 15);
  // The cosine is at a half after 45 of its 90 counts, at (1 + cos(60/90 π)) ÷ 2 = 0.25 after 60: half of that.
  expect(rateOf(wrapper)).toBeCloseTo(0.15, 15);
});

test("of epochs, too", () => {
  const wrapper = wrap(sgd({ lr: 1 }));
  const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.5, by: "epoch" }) });
  scheduler.stepEpoch();
  scheduler.stepEpoch();
  add(wrapper, 1);
  scheduler.stepEpoch();
  expect(wrapper.getLr().lr).toEqual([1 / 8, 1 / 2]);
});

test("reduce-on-plateau: reductions before it do not count for it", () => {
  const wrapper = wrap(sgd({ lr: 1 }));
  const scheduler = createScheduler(wrapper, { lr: reduceOnPlateau({ factor: 0.5, patience: 0 }) });
  for (const loss of [1, 2, 2]) scheduler.observe(loss);
  expect(wrapper.getLr().lr).toEqual([0.25]);
  add(wrapper, 0.6);
  scheduler.observe(3);
  expect(wrapper.getLr().lr).toEqual([0.125, 0.3]);
});

test("a group may be added later still, and each goes on from its own", () => {
  const wrapper = wrap(sgd({ lr: 1 }));
  const scheduler = run(createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) }), 1);
  add(wrapper, 1, "a");
  run(scheduler, 1);
  add(wrapper, 1, "b");
  run(scheduler, 1);
  expect(wrapper.getLr().lr).toEqual([1 / 8, 1 / 4, 1 / 2]);
  scheduler.rewind(2);
  // Back at the count 1, at which a joined; b joined at 2.
  expect(wrapper.getLr().lr).toEqual([1 / 2, 1, 2]);
});

test("the count at which it joined is saved: a resumed run goes on the same", () => {
  const run1 = wrap(sgd({ lr: 1 }));
  const plan = { lr: [exponential({ gamma: 0.5 }), reduceOnPlateau({ factor: 0.5, patience: 0 })] };
  const first = run(createScheduler(run1, plan), 2);
  for (const loss of [1, 2]) first.observe(loss);
  add(run1, 0.8);
  first.step(run1.updateParams(batch));
  const saved = JSON.parse(JSON.stringify(first.stateDict())) as ReturnType<Scheduler["stateDict"]>;
  expect(saved.hyperparameters["lr"]?.joined).toEqual({
    head: { updates: 2, epochs: 0, states: [{}, { best: 1, bad: 0, cooldown: 0, reductions: 1 }] },
  });

  const run2 = wrap(sgd({ lr: 1 }));
  add(run2, 0.8);
  const second = createScheduler(run2, plan);
  expect(second.loadStateDict(saved)).toEqual({ missing: [], unexpected: [], changed: [] });
  for (const [scheduler, wrapper] of [[first, run1] as const, [second, run2] as const]) {
    run(scheduler, 1);
    scheduler.observe(3);
    // 0.8 × 0.5² for the updates, × 0.5 for the reduction after it joined; without them 1 × 0.5⁴ × 0.5².
    expect(wrapper.getLr().lr).toEqual([1 / 64, 0.1]);
  }
  expect(second.stateDict()).toEqual(first.stateDict());
});

test("a group that the state does not know was there from the start, unless it was added here", () => {
  const plan = { lr: exponential({ gamma: 0.5 }) };
  const saved = run(createScheduler(wrap(sgd({ lr: 1 })), plan), 3).stateDict();
  const wrapper = wrap(sgd({ lr: 1 }));
  add(wrapper, 0.8, "start");
  const scheduler = run(createScheduler(wrapper, plan), 1);
  add(wrapper, 0.8, "later");
  expect(thrownBy(() => scheduler.loadStateDict(saved)).code).toBe("state-mismatch");
  scheduler.loadStateDict(saved, { strict: false });
  // At the count 3 of the state; the last group joined at 1.
  expect(wrapper.getLr()).toEqual({ baseLr: [1 / 8], lr: [1 / 8, 0.8 / 8, 0.8 / 4] });
});

test("a next scheduler begins with what the group was added with", () => {
  const wrapper = wrap(sgd({ lr: 1 }));
  const first = run(
    createScheduler(wrapper, { lr: linear({ startFactor: 1, endFactor: 0.5, length: 4 }) }),
    2,
  );
  add(wrapper, 0.8);
  run(first, 2);
  createScheduler(wrapper, { lr: exponential({ gamma: 1 }) });
  expect(wrapper.getLr().lr).toEqual([1, 0.8]);
});
