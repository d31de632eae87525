import { adam, sgd } from "@mm/optim-rules";
import {
  cosine,
  createScheduler,
  createSchedulerDict,
  exponential,
  type SchedulerDictStateDict,
  type SchedulerStateDict,
} from "@mm/optim-schedule";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrap, wrapTwo } from "./wrappers.ts";

const halves = exponential({ gamma: 0.5 });
const copy = <T>(state: T): T => JSON.parse(JSON.stringify(state)) as T;

function saved(): SchedulerStateDict {
  const scheduler = createScheduler(wrapTwo(), { lr: halves });
  for (const _ of [1, 2]) scheduler.step({ updated: true });
  return copy(scheduler.stateDict());
}

test("a load is staged with its report, and changes nothing until it is committed", () => {
  const wrapper = wrapTwo();
  wrapper.paramGroups[1]!.lr = 0.5;
  const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.25 }) });
  scheduler.step({ updated: true });
  const before = [scheduler.stateDict(), wrapper.getLr()];
  const prepared = scheduler.prepareLoad(saved());
  expect([scheduler.stateDict(), wrapper.getLr()]).toEqual(before);
  // The schedule, and the value that the head's begins with: 0.01 was saved, 0.5 is there.
  const report = { missing: [], unexpected: [], changed: ["lr[0].gamma", 'lr of group "head"'] };
  expect(prepared.report).toEqual(report);
  expect(prepared.commit()).toEqual(report);
  expect([scheduler.updates, wrapper.getLr().lr]).toEqual([2, [0.025, 0.0025]]);
});

test("the values of now are not compared where they hold", () => {
  const wrapper = wrapTwo();
  wrapper.paramGroups[0].lr = 0.8;
  const scheduler = createScheduler(wrapper, { lr: halves });
  const options = { restore: { initial: false } };
  expect(scheduler.prepareLoad(saved(), options).report.changed).toEqual([]);
  scheduler.prepareLoad(saved(), options).commit();
  expect(wrapper.getLr().lr).toEqual([0.2, 0.0025]);
});

test("what loadStateDict refuses, prepareLoad refuses; nothing has changed", () => {
  const wrapper = wrapTwo();
  const scheduler = createScheduler(wrapper, { lr: cosine({ length: 9 }) });
  expect(thrownBy(() => scheduler.prepareLoad(saved())).code).toBe("state-mismatch");
  expect(thrownBy(() => scheduler.prepareLoad({} as never)).code).toBe("invalid-state");

  // Adam wants betas below 1: the state's value of 2 is refused when it is staged.
  const beta = createScheduler(wrap(adam()), { momentum: halves });
  const state = copy(beta.stateDict());
  (state.hyperparameters["momentum"] as { initial: object }).initial = { "0": 2 };
  expect(thrownBy(() => beta.prepareLoad(state)).code).toBe("invalid-hyperparameter");
  expect(scheduler.updates).toBe(0);
  scheduler.dispose();
  expect(thrownBy(() => scheduler.prepareLoad(saved())).code).toBe("disposed");
});

test("of a dict, all are staged", () => {
  const make = (gamma: number) => {
    const pairs = [
      ["a", wrapTwo()],
      ["b", wrap(sgd({ lr: 1 }))],
    ] as const;
    return { pairs, dict: createSchedulerDict(pairs, { b: { lr: exponential({ gamma }) } }) };
  };
  const first = make(0.5);
  first.dict.get("b").step({ updated: true });
  const state = copy(first.dict.stateDict()) as SchedulerDictStateDict;
  const { pairs, dict } = make(0.25);
  const prepared = dict.prepareLoad(state);
  expect([prepared.report.changed, dict.get("b").updates]).toEqual([["b.lr[0].gamma"], 0]);
  prepared.commit();
  expect([dict.get("b").updates, pairs[1][1].getLr()]).toEqual([1, { lr: [0.5] }]);
});
