import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { expect, test, vi } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  createScheduler,
  createSchedulerDict,
  custom,
  exponential,
  linear,
  multiStep,
  reduceOnPlateau,
  type Schedule,
  type Scheduler,
} from "@mm/optim-schedule";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrap, wrapTwo } from "./wrappers.ts";

function run(scheduler: Scheduler, updates: number): Scheduler {
  for (let update = 0; update < updates; update += 1) scheduler.step({ updated: true });
  return scheduler;
}

test("a second scheduler begins with what the first began with, in every group", () => {
  const wrapper = wrapTwo();
  run(createScheduler(wrapper, { lr: cosine({ length: 4 }) }), 4);
  expect(wrapper.getLr()).toEqual({ baseLr: [0], lr: [0, 0] });
  const second = createScheduler(wrapper, { lr: linear({ startFactor: 0.5, length: 2 }) });
  expect(wrapper.getLr()).toEqual({ baseLr: [0.05], lr: [0.05, 0.005] });
  run(second, 2);
  expect(wrapper.getLr()).toEqual({ baseLr: [0.1], lr: [0.1, 0.01] });
  createScheduler(wrapper, { lr: constant({ factor: 0.5 }) });
  expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
});

test("but with a value that was assigned since", () => {
  const wrapper = wrapTwo();
  run(createScheduler(wrapper, { lr: linear({ startFactor: 1, endFactor: 0.1, length: 3 }) }), 3);
  wrapper.paramGroups[1]!.lr = 0.5;
  createScheduler(wrapper, { lr: constant({ factor: 0.5 }) });
  // The body's 0.1 and the head's 0.5, by a half.
  expect(wrapper.getLr().lr).toEqual([0.05, 0.25]);
});

test.each<[string, Schedule]>([
  ["a schedule without an end", exponential({ gamma: 0.5 })],
  ["a function without a length", custom((_, value) => value / 2)],
  ["reduce-on-plateau", reduceOnPlateau({})],
  ["a schedule that has not come to its length", linear({ length: 4 })],
  ["one that has not begun", constant({ factor: 0.5, begin: 20, length: 4 })],
  ["one by epoch", linear({ length: 1, by: "epoch" })],
  ["milestones ahead", multiStep({ milestones: [2, 4] })],
])("a hyperparameter under %s is refused to a second scheduler", (_, schedule) => {
  const wrapper = wrapTwo();
  const first = run(createScheduler(wrapper, { lr: schedule }), 3);
  const before = wrapper.getLr();
  const plan = { momentum: constant({ factor: 0.5 }), lr: constant({ factor: 0.5 }) };
  const { code, message } = thrownBy(() => createScheduler(wrapper, plan));
  expect(code).toBe("invalid-option");
  expect(message).toBe(
    'createScheduler.lr: expected a hyperparameter that no other scheduler drives, got "lr of group "body"". ' +
      "Call dispose() of the other scheduler before, or pass { replace: true }",
  );
  expect([wrapper.getLr(), wrapper.getMomentum().momentum]).toEqual([before, [0.9, 0.9]]);
  first.dispose();
  createScheduler(wrapper, plan);
  expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
});

test.each<[string, Schedule]>([
  ["its length", linear({ length: 3 })],
  ["its length after its begin", cosine({ begin: 1, length: 2 })],
  ["its last milestone", multiStep({ milestones: [1, 3] })],
  ["its last period", cosineRestarts({ periods: [1, 2] })],
])("a schedule is over at %s", (_, schedule) => {
  const wrapper = wrapTwo();
  const first = run(createScheduler(wrapper, { lr: schedule }), 2);
  expect(thrownBy(() => createScheduler(wrapper, { lr: constant({ factor: 0.5 }) })).code).toBe(
    "invalid-option",
  );
  run(first, 1);
  createScheduler(wrapper, { lr: constant({ factor: 0.5 }) });
  expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
});

test("a scheduler that is over leaves alone what another has taken, and goes on with the rest", () => {
  const wrapper = wrapTwo();
  const first = createScheduler(wrapper, {
    lr: linear({ length: 2 }),
    momentum: exponential({ gamma: 0.5 }),
  });
  run(first, 2);
  createScheduler(wrapper, { lr: constant({ factor: 0.5 }) });
  run(first, 1);
  first.rewind(2);
  expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
  // After one count: 0.9 × 0.5.
  expect(wrapper.getMomentum().momentum).toEqual([0.45, 0.45]);
});

test("replace: true takes a hyperparameter from a scheduler under way", () => {
  const wrapper = wrapTwo();
  const plan = { lr: exponential({ gamma: 0.5 }), momentum: exponential({ gamma: 0.5 }) };
  const first = run(createScheduler(wrapper, plan), 2);
  const second = createScheduler(wrapper, { lr: exponential({ gamma: 0.1 }) }, { replace: true });
  expect(wrapper.getLr().lr).toEqual([0.1, 0.01]);
  run(first, 1);
  run(second, 1);
  expect(wrapper.getLr().lr[0]).toBe(0.1 * 0.1);
  // The first keeps the momentum: 0.9 × 0.5³.
  expect(wrapper.getMomentum().momentum[0]).toBe(0.9 / 8);
  // And the lr is the second's: a third has to ask.
  first.dispose();
  expect(thrownBy(() => createScheduler(wrapper, { lr: constant({ factor: 1 }) })).code).toBe(
    "invalid-option",
  );
});

test("a replacement that the rule refuses changes nothing: the first goes on", () => {
  const wrapper = wrapTwo();
  const first = run(createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) }), 1);
  const negative = custom((_, value) => (value === 0.1 ? 0.3 : -1));
  expect(thrownBy(() => createScheduler(wrapper, { lr: negative }, { replace: true })).code).toBe(
    "invalid-hyperparameter",
  );
  expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
  run(first, 1);
  expect(wrapper.getLr().lr).toEqual([0.025, 0.0025]);
});

test("of betas, the momentum and its place are one hyperparameter to a second scheduler", () => {
  const wrapper = wrap(adam());
  createScheduler(wrapper, { momentum: exponential({ gamma: 0.5 }) });
  createScheduler(wrapper, { "betas[1]": exponential({ gamma: 0.5 }) });
  expect(thrownBy(() => createScheduler(wrapper, { "betas[0]": constant({ factor: 0.5 }) })).code).toBe(
    "invalid-option",
  );
});

test("after dispose() nothing is written, and counts can still be read", () => {
  const wrapper = wrapTwo();
  const scheduler = run(createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) }), 1);
  const state = scheduler.stateDict();
  scheduler.dispose();
  scheduler.dispose();
  const calls = [
    () => scheduler.step({ updated: true }),
    () => scheduler.step({ updated: false }),
    () => scheduler.stepEpoch(),
    () => scheduler.observe(1),
    () => scheduler.rewind(0),
    () => scheduler.apply(),
    () => scheduler.loadStateDict(state),
  ];
  for (const call of calls) expect(thrownBy(call).code).toBe("disposed");
  expect([scheduler.updates, scheduler.stateDict(), wrapper.getLr().lr]).toEqual([1, state, [0.05, 0.005]]);
});

test("schedulers of a dict: refused as a whole, replaced, disposed", () => {
  const pairs = [
    ["a", wrap(sgd({ lr: 1 }))],
    ["b", wrap(sgd({ lr: 1 }))],
  ] as const;
  const rates = (): readonly number[] => pairs.map(([, wrapper]) => wrapper.paramGroups[0].lr);
  const first = createSchedulerDict(pairs, { b: { lr: exponential({ gamma: 0.5 }) } });
  const halves = { a: { lr: constant({ factor: 0.5 }) }, b: { lr: constant({ factor: 0.5 }) } };
  expect(thrownBy(() => createSchedulerDict(pairs, halves)).message).toMatch(/^createSchedulerDict\.b\.lr:/);
  expect(rates()).toEqual([1, 1]);
  const second = createSchedulerDict(pairs, halves, { replace: true });
  first.dispose();
  expect(rates()).toEqual([0.5, 0.5]);
  expect(thrownBy(() => first.stepEpoch()).code).toBe("disposed");
  second.dispose();
  createSchedulerDict(pairs, { a: { lr: constant({ factor: 0.25 }) } });
  expect(rates()).toEqual([0.25, 0.5]);
});

test("another copy of the package knows what this one drives", async () => {
  vi.resetModules();
  const other = await import("../src/index.ts");
  expect(other.createScheduler).not.toBe(createScheduler);
  const wrapper = wrapTwo();
  const first = run(createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) }), 2);
  const plan = { lr: other.constant({ factor: 0.5 }) };
  expect(thrownBy(() => other.createScheduler(wrapper, plan)).code).toBe("invalid-option");
  first.dispose();
  other.createScheduler(wrapper, plan);
  expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
});

test("a group shows nothing of it", () => {
  const wrapper = createOptimWrapper(arrayOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }));
  const [group] = wrapper.paramGroups;
  const before = [Object.keys(group), JSON.stringify(group), Reflect.ownKeys(group)];
  createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) });
  expect([Object.keys(group), JSON.stringify(group), Reflect.ownKeys(group)]).toEqual(before);
});
