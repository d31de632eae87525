import {
  constant,
  cosine,
  createScheduler,
  custom,
  exponential,
  linear,
  sequence,
  step,
  valueAt,
} from "@mm/optim-schedule";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrapTwo } from "./wrappers.ts";

const values = (schedule: Parameters<typeof valueAt>[0], counts: number): readonly number[] =>
  Array.from({ length: counts }, (_, updates) => valueAt(schedule, { updates }, 8));

test("each part begins with the group's own value; those of a list with what came before", () => {
  const halves = exponential({ gamma: 0.5 });
  expect(values(sequence([halves, constant({ factor: 0.5 })], [2]), 4)).toEqual([8, 4, 4, 4]);
  expect(values([halves, constant({ factor: 0.5, begin: 2 })], 4)).toEqual([8, 4, 1, 0.5]);
});

test("a part has a begin of its own, after its milestone", () => {
  const late = step({ stepSize: 1, gamma: 0.5, begin: 2 });
  expect(values(sequence([constant({ factor: 0.25 }), late], [1]), 6)).toEqual([2, 8, 8, 8, 4, 2]);
});

test("it ends where its last part does, and turns where they do, and before each milestone", () => {
  const schedule = sequence([linear({ length: 2 }), cosine({ length: 3 })], [4]);
  expect(schedule.end).toBe(7);
  expect(new Set(schedule.turns)).toEqual(new Set([0, 2, 3, 4, 7]));
  expect(sequence([linear({ length: 2 }), exponential({ gamma: 0.5 })], [4]).end).toBe(Infinity);
});

test("of epochs, it counts epochs", () => {
  const by = "epoch";
  const schedule = sequence([constant({ factor: 0.5, by }), constant({ factor: 0.25, by })], [2]);
  expect(schedule.by).toBe(by);
  expect([0, 1, 2].map((epochs) => valueAt(schedule, { updates: 9, epochs }, 8))).toEqual([4, 4, 2]);
});

test("a scheduler saves its parts, and takes them from a state", () => {
  const plan = () => sequence([linear({ startFactor: 0.5, length: 2 }), step({ stepSize: 1 })], [2]);
  const first = createScheduler(wrapTwo(), { lr: plan() });
  for (const _ of [1, 2, 3]) first.step({ updated: true });
  const state = JSON.parse(JSON.stringify(first.stateDict())) as ReturnType<typeof first.stateDict>;
  const wrapper = wrapTwo();
  const changed = sequence([linear({ startFactor: 0.1, length: 2 }), step({ stepSize: 7 })], [5]);
  const second = createScheduler(wrapper, { lr: changed });
  expect(second.loadStateDict(state).changed).toEqual(["lr[0].schedules", "lr[0].milestones"]);
  expect(second.stateDict()).toEqual(first.stateDict());
  // 0.1 × 0.1, one count after the second began anew.
  expect(wrapper.getLr().lr[0]).toBeCloseTo(0.01, 15);

  const other = createScheduler(wrapTwo(), {
    lr: sequence([step({ stepSize: 1 }), linear({ length: 2 })], [2]),
  });
  const { code, message } = thrownBy(() => other.loadStateDict(state));
  expect(code).toBe("invalid-state");
  expect(message).toContain("state.hyperparameters.lr.schedules[0].options.schedules: expected step, linear");
});

test("functions of one's own go on as they are given again", () => {
  const schedule = sequence([custom((_, value) => value / 2), constant({ factor: 0.25 })], [2]);
  expect(values(schedule.with(JSON.parse(JSON.stringify(schedule.options)) as object), 3)).toEqual([4, 4, 2]);
});
