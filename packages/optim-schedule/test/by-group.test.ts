import { cosine, createScheduler, custom, oneCycle, polynomial, sequence, valueAt } from "@mm/optim-schedule";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrapTwo } from "./wrappers.ts";

const body = { name: "body", index: 0 };
const head = { name: "head", index: 1 };

test("a floor of each group; those that are not named have 0", () => {
  const schedule = cosine({ length: 2, etaMin: { head: 4 } });
  // (8 + 4) ÷ 2 and 4; (8 + 0) ÷ 2 and 0.
  expect([1, 2].map((updates) => valueAt(schedule, { updates }, 8, head))).toEqual([6, 4]);
  expect([1, 2].map((updates) => valueAt(schedule, { updates }, 8, body))).toEqual([4, 0]);
  expect([1, 2].map((updates) => valueAt(schedule, { updates }, 8))).toEqual([4, 0]);
});

test("a peak of each group; those that are not named have their own value", () => {
  const schedule = oneCycle({ length: 2, pctStart: 0.5, etaMax: { head: 2 } });
  expect([head, body, undefined].map((group) => valueAt(schedule, { updates: 1 }, 8, group))).toEqual([
    2, 8, 8,
  ]);
});

test("a scheduler gives each group its own, and its base settings none", () => {
  const wrapper = wrapTwo();
  const scheduler = createScheduler(wrapper, {
    lr: polynomial({ length: 2, etaMin: { body: 0.05, head: 0.01 } }),
    momentum: custom((_, value, group) => (group === undefined ? value : value / (group.index + 1))),
  });
  for (const _ of [1, 2]) scheduler.step({ updated: true });
  expect(wrapper.getLr()).toEqual({ baseLr: [0], lr: [0.05, 0.01] });
  expect(wrapper.getMomentum()).toEqual({ momentum: [0.9, 0.45] });
  expect(wrapper.baseParamSettings?.momentum).toBe(0.9);
  expect(scheduler.at({ updates: 0 })).toEqual({ lr: [0.1, 0.01], momentum: [0.9, 0.45] });
});

test("a group that is not there is refused, wherever it is named", () => {
  const refused = (plan: object): string => thrownBy(() => createScheduler(wrapTwo(), plan as never)).message;
  const low = cosine({ length: 2, etaMin: { heads: 0.1 } });
  expect(refused({ lr: low })).toBe(
    'createScheduler.lr.etaMin: expected the name of a group: body, head, got "heads"',
  );
  expect(refused({ lr: [cosine({ length: 2 }), low] })).toMatch(/^createScheduler\.lr\[1\]\.etaMin: /);
  expect(refused({ lr: sequence([cosine({ length: 2 }), low], [2]) })).toMatch(
    /^createScheduler\.lr\.schedules\[1\]\.etaMin: /,
  );
});

test("numbers by group are saved, frozen, and come back", () => {
  const given = { head: 0.002 };
  const schedule = cosine({ length: 2, etaMin: given });
  given.head = 1;
  expect(schedule.options["etaMin"]).toEqual({ head: 0.002 });
  expect(Object.isFrozen(schedule.options["etaMin"])).toBe(true);
  const first = createScheduler(wrapTwo(), { lr: schedule });
  first.step({ updated: true });
  const saved = JSON.parse(JSON.stringify(first.stateDict())) as ReturnType<typeof first.stateDict>;
  const wrapper = wrapTwo();
  const second = createScheduler(wrapper, { lr: cosine({ length: 2 }) });
  expect(second.loadStateDict(saved).changed).toEqual(["lr[0].etaMin"]);
  second.step({ updated: true });
  expect(wrapper.getLr().lr).toEqual([0, 0.002]);
});
