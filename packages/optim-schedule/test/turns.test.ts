import * as fc from "fast-check";
import { adam, lookahead, sgd } from "@mm/optim-rules";
import { defineUpdateRule, mul, sub } from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  createScheduler,
  createSchedulerDict,
  custom,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  reduceOnPlateau,
  type Schedule,
} from "@mm/optim-schedule";
import { kinds } from "./arbitrary.ts";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrap, wrapTwo } from "./wrappers.ts";

describe("a value that the rule refuses later is refused when the scheduler is made", () => {
  // Adam wants betas in [0, 1): 0.9 × 2 at the end, 0.9 × 1.2 in the middle, and so on.
  test.each<[string, Schedule, string]>([
    ["at the end of a line", linear({ startFactor: 1, endFactor: 2, length: 40 }), "40 updates"],
    ["at its begin", constant({ factor: 2, begin: 7, length: 3 }), "7 updates"],
    ["at the last milestone", multiStep({ milestones: [5, 9], gamma: 1.2 }), "9 updates"],
    ["at a floor", cosine({ length: 30, etaMin: 1 }), "30 updates"],
    ["where a cosine turns", cosine({ tMax: 30, etaMin: 1 }), "30 updates"],
    ["at a restart", cosineRestarts({ periods: [4, 6], restartWeights: [1, 2] }), "4 updates"],
    ["before a restart", cosineRestarts({ periods: [40, 60], etaMin: 1.5 }), "39 updates"],
    ["at a power's end", polynomial({ length: 12, etaMinRatio: 1.5 }), "12 updates"],
    ["at a peak", oneCycle({ length: 10, etaMax: 1 }), "3 updates"],
    ["at the end of an own function", custom((count) => count / 4, { length: 4 }), "4 updates"],
    [
      "after epochs",
      linear({ startFactor: 1, endFactor: 2, length: 5, by: "epoch" }),
      "0 updates and 5 epochs",
    ],
  ])("%s", (_, schedule, place) => {
    const wrapper = wrap(adam({ lr: 0.1, betas: [0.9, 0.99] }));
    const plan = { lr: constant({ factor: 0.5 }), momentum: schedule };
    const { code, message } = thrownBy(() => createScheduler(wrapper, plan));
    expect([code, message.split(": ")[0]]).toEqual([
      "invalid-hyperparameter",
      `createScheduler, after ${place}`,
    ]);
    expect(wrapper.paramGroups[0]).toMatchObject({ lr: 0.1, betas: [0.9, 0.99] });
    // Nobody drives it now.
    createScheduler(wrapper, { momentum: constant({ factor: 0.5 }) });
  });

  test("in a dict, of all wrappers or none", () => {
    const pairs = [
      ["a", wrapTwo()],
      ["b", wrap(adam())],
    ] as const;
    const plans = {
      a: { lr: constant({ factor: 0.5 }) },
      b: { momentum: linear({ startFactor: 1, endFactor: 2, length: 4 }) },
    };
    expect(thrownBy(() => createSchedulerDict(pairs, plans)).message).toMatch(
      /^createSchedulerDict\.b, after 4 updates: /,
    );
    expect(pairs[0][1].getLr().lr).toEqual([0.1, 0.01]);
  });

  test("of two hyperparameters that go together, at the same count", () => {
    // Nesterov needs momentum: fine at the first count, not at the last.
    const wrapper = wrap(sgd({ lr: 1, momentum: 0.9, nesterov: true }));
    const plan = { momentum: linear({ startFactor: 1, endFactor: 0, length: 3 }) };
    expect(thrownBy(() => createScheduler(wrapper, plan)).code).toBe("invalid-hyperparameter");
  });
});

test("an average whose decay rises to a limit that its rule takes", () => {
  const averaging = defineUpdateRule({
    name: "Averaging",
    hyperparameters: { lr: 1, emaDecay: 0.5 },
    check: ({ emaDecay }) => (emaDecay > 1 ? "emaDecay: expected at most 1" : undefined),
    update: ({ param, grad }, { lr }) => ({ param: sub(param, mul(lr, grad)) }),
  });
  const wrapper = wrap(averaging({ emaDecay: 0.996 }));
  const rises = custom((count, value) => 1 - ((1 - value) * (Math.cos((Math.PI * count) / 100) + 1)) / 2, {
    length: 100,
  });
  const scheduler = createScheduler(wrapper, { emaDecay: rises });
  expect(wrapper.paramGroups[0].emaDecay).toBe(0.996);
  for (let update = 0; update < 100; update += 1) scheduler.step({ updated: true });
  expect(wrapper.paramGroups[0].emaDecay).toBe(1);
});

test("a rule that wraps another is asked, too", () => {
  const wrapper = wrap(lookahead(sgd({ lr: 1 }), { slowStepSize: 0.5 }));
  const plan = { slowStepSize: linear({ startFactor: 1, endFactor: 4, length: 3 }) };
  expect(thrownBy(() => createScheduler(wrapper, plan)).code).toBe("invalid-hyperparameter");
  createScheduler(wrapper, { slowStepSize: linear({ startFactor: 1, endFactor: 0.5, length: 3 }) });
});

const { custom: _custom, reduceOnPlateau: _plateau, ...inClosedForm } = kinds;

test.each(Object.entries(inClosedForm))("%s: no value lies outside those at its turns", (_, schedules) => {
  fc.assert(
    fc.property(schedules, fc.double({ min: 0.05, max: 1, noNaN: true }), (schedule, value) => {
      const { end, turns } = schedule;
      const last = end === Infinity ? 2 * Math.max(...turns) + 60 : end;
      // Without an end there is a limit that is not tried: the value after very many counts.
      const tried = [...turns, ...(end === Infinity ? [last] : [])].map((count) => schedule.at(count, value));
      const rounding = 1e-12 * value;
      for (let count = 0; count <= last; count += 1) {
        const at = schedule.at(count, value);
        // Before its begin, the value itself.
        expect(at).toBeLessThanOrEqual(Math.max(...tried, value) + rounding);
        expect(at).toBeGreaterThanOrEqual(Math.min(...tried, value) - rounding);
      }
      expect(schedule.at(end + 1000, value)).toBe(schedule.at(end, value));
    }),
  );
});

test("reduceOnPlateau() needs no options, and refuses a threshold below 0", () => {
  expect(reduceOnPlateau().options).toEqual(reduceOnPlateau({}).options);
  expect(() => reduceOnPlateau({ threshold: -1 })).toThrow(
    "reduceOnPlateau.threshold: expected a finite number of at least 0, got -1",
  );
  expect(reduceOnPlateau({ threshold: 0 }).options["threshold"]).toBe(0);
});
