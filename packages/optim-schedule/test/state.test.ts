import { sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import {
  constant,
  cosine,
  createScheduler,
  exponential,
  reduceOnPlateau,
  type Scheduler,
  type SchedulerStateDict,
  step,
} from "@mm/optim-schedule";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrap, wrapTwo } from "./wrappers.ts";

const updated = { updated: true };

function run(scheduler: Scheduler, updates: number): Scheduler {
  for (let update = 0; update < updates; update += 1) scheduler.step(updated);
  return scheduler;
}

/** Three updates of 0.1 and 0.01, halved at each. */
const saved = run(createScheduler(wrapTwo(), { lr: exponential({ gamma: 0.5 }) }), 3).stateDict();

test("is plain data that JSON can hold", () => {
  const wrapper = wrapTwo();
  const scheduler = createScheduler(wrapper, { lr: reduceOnPlateau({ patience: 0 }) });
  scheduler.stepEpoch();
  scheduler.observe(3);
  scheduler.observe(4);
  const state = scheduler.stateDict();
  expect(state).toEqual({
    format: "optim-scheduler",
    version: 1,
    updates: 0,
    epochs: 1,
    hyperparameters: {
      lr: {
        schedules: [
          {
            type: "reduceOnPlateau",
            options: {
              mode: "min",
              factor: 0.1,
              patience: 0,
              threshold: 1e-4,
              thresholdMode: "rel",
              cooldown: 0,
              eps: 1e-8,
            },
            state: { best: 3, bad: 0, cooldown: 0, reductions: 1 },
          },
        ],
        initial: { body: 0.1, head: 0.01 },
        baseInitial: 0.1,
      },
    },
  });
  expect(JSON.parse(JSON.stringify(state))).toEqual(state);
});

describe("a load", () => {
  test("goes on with the schedules and the values that were saved, and tells what is different here", () => {
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.1 }) });
    const report = scheduler.loadStateDict(saved);
    expect(report).toEqual({ missing: [], unexpected: [], changed: ["lr[0].gamma"] });
    expect(scheduler.updates).toBe(3);
    expect(wrapper.getLr()).toEqual({ baseLr: [0.1 / 8], lr: [0.1 / 8, 0.01 / 8] });
    scheduler.step(updated);
    expect(wrapper.getLr().lr).toEqual([0.1 / 16, 0.01 / 16]);
    expect(scheduler.stateDict()).toEqual({ ...saved, updates: 4 });
  });

  test("takes the new schedule on request, from the count that was saved", () => {
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: step({ stepSize: 2, gamma: 0.5 }) });
    const report = scheduler.loadStateDict(saved, { restore: { schedules: false } });
    expect(report).toEqual({ missing: [], unexpected: [], changed: ["lr[0]"] });
    // 3 updates: one step of 2.
    expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
  });

  test("takes the new learning rate on request", () => {
    const wrapper = wrap(sgd({ lr: 8 }));
    const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) });
    const one = run(createScheduler(wrap(sgd({ lr: 1 })), { lr: exponential({ gamma: 0.5 }) }), 3);
    scheduler.loadStateDict(one.stateDict(), { restore: { initial: false } });
    expect(wrapper.getLr().lr).toEqual([1]);
    scheduler.loadStateDict(one.stateDict());
    expect(wrapper.getLr().lr).toEqual([1 / 8]);
  });

  test("of the wrapper after it writes over it, until the values are written again", async () => {
    const source = wrapTwo();
    run(createScheduler(source, { lr: exponential({ gamma: 0.5 }) }), 3);
    const state = await source.stateDict();
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: constant({ factor: 0.5 }) });
    scheduler.loadStateDict(saved, { restore: { schedules: false } });
    await wrapper.loadStateDict(state);
    expect(wrapper.getLr().lr).toEqual([0.1 / 8, 0.01 / 8]);
    scheduler.apply();
    expect(wrapper.getLr().lr).toEqual([0.05, 0.005]);
  });

  test("what listened goes on with what it was told, if its kind is the same", () => {
    const told = createScheduler(wrapTwo(), { lr: reduceOnPlateau({ patience: 0, factor: 0.5 }) });
    for (const loss of [3, 3, 3]) told.observe(loss);
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: reduceOnPlateau({ patience: 0, factor: 0.1 }) });
    scheduler.loadStateDict(told.stateDict(), { restore: { schedules: false } });
    expect(wrapper.getLr().lr[0]).toBeCloseTo(0.1 * 0.1 * 0.1, 15);
  });
});

describe("what does not match", () => {
  test("hyperparameters, schedules and kinds are refused, with all their names", () => {
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, {
      lr: [cosine({ length: 10 }), step({ stepSize: 5 })],
      momentum: constant({ factor: 0.5 }),
    });
    const before = [wrapper.getLr(), scheduler.stateDict()];
    const { hyperparameters } = saved;
    const state = { ...saved, hyperparameters: { ...hyperparameters, weightDecay: hyperparameters["lr"]! } };
    const error = thrownBy(() => scheduler.loadStateDict(state));
    expect(error).toMatchObject({
      code: "state-mismatch",
      missing: ["lr[1]", "momentum"],
      unexpected: ["weightDecay"],
      mismatched: ["lr[0] exponential instead of cosine"],
    });
    expect(error.message).toContain("restore: { schedules: false }");
    expect([wrapper.getLr(), scheduler.stateDict()]).toEqual(before);

    // The count fits, and so do the initial values of lr.
    const report = scheduler.loadStateDict(state, { strict: false });
    expect(report).toEqual({
      missing: ["lr[1]", "momentum"],
      unexpected: ["weightDecay"],
      changed: ["lr[0]"],
    });
    expect(scheduler.updates).toBe(3);
  });

  test("one schedule less than were saved is refused", () => {
    const two = createScheduler(wrapTwo(), {
      lr: [step({ stepSize: 1 }), step({ stepSize: 2 })],
    }).stateDict();
    const scheduler = createScheduler(wrapTwo(), { lr: step({ stepSize: 1 }) });
    expect(thrownBy(() => scheduler.loadStateDict(two)).unexpected).toEqual(["lr[1]"]);
  });

  test("groups are refused, unless what fits is enough; those that are new keep their own", () => {
    const wrapper = wrap(sgd({ lr: 4 }));
    const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) });
    for (const restore of [{}, { schedules: false }]) {
      expect(thrownBy(() => scheduler.loadStateDict(saved, { restore }))).toMatchObject({
        code: "state-mismatch",
        missing: ['lr of group "0"'],
        unexpected: ['lr of group "body"', 'lr of group "head"', "lr of the base settings"],
      });
    }
    expect(scheduler.loadStateDict(saved, { restore: { initial: false } }).missing).toEqual([]);
    scheduler.loadStateDict(saved, { strict: false });
    expect(wrapper.getLr().lr).toEqual([0.5]);
  });

  test("a state that is none, or damaged, is refused with its place", () => {
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) });
    const lr = saved.hyperparameters["lr"]!;
    const damaged = (change: object): unknown => ({
      ...saved,
      hyperparameters: { lr: { ...lr, ...change } },
    });
    const [schedule] = lr.schedules;
    for (const [state, place] of [
      [null, "state"],
      [{ ...saved, format: "optim-wrapper" }, "state.format"],
      [{ ...saved, version: 2 }, "state.version"],
      [{ ...saved, updates: -1 }, "state.updates"],
      [damaged({ initial: { body: "0.1" } }), "state.hyperparameters.lr.initial.body"],
      [damaged({ baseInitial: null }), "state.hyperparameters.lr.baseInitial"],
      [damaged({ schedules: {} }), "state.hyperparameters.lr.schedules"],
      [
        damaged({ schedules: [{ ...schedule, state: { best: "3" } }] }),
        "state.hyperparameters.lr.schedules[0].state.best",
      ],
      [
        damaged({ schedules: [{ ...schedule, options: { gamma: -1 } }] }),
        "state.hyperparameters.lr.schedules[0].options.gamma",
      ],
    ] as const) {
      const error = thrownBy(() => scheduler.loadStateDict(state as SchedulerStateDict));
      expect([error.code, error.message.split(":")[0]]).toEqual(["invalid-state", place]);
    }
    expect(wrapper.getLr().lr).toEqual([0.1, 0.01]);
    expect(thrownBy(() => scheduler.loadStateDict(saved, { strickt: true } as object))).toMatchObject({
      code: "unknown-option",
    });
  });

  test("a value that the rule refuses leaves everything as it was", () => {
    const wrapper = wrapTwo();
    const scheduler = createScheduler(wrapper, { lr: exponential({ gamma: 0.5 }) });
    const lr = { ...saved.hyperparameters["lr"]!, initial: { body: 1, head: -1 } };
    const before = scheduler.stateDict();
    expect(thrownBy(() => scheduler.loadStateDict({ ...saved, hyperparameters: { lr } })).code).toBe(
      "invalid-hyperparameter",
    );
    expect([wrapper.getLr().lr, scheduler.stateDict()]).toEqual([[0.1, 0.01], before]);
  });
});
