import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { createSchedulerDict, custom, exponential, step } from "@mm/optim-schedule";
import { thrownBy } from "../../../test-support/refusal.ts";
import { batch, wrap } from "./wrappers.ts";

const halve = exponential({ gamma: 0.5 });

function gan() {
  const optim = new OptimWrapperDict({
    generator: wrap(adam({ lr: 1, betas: [0.5, 0.9] })),
    discriminator: wrap(sgd({ lr: 8 }), { accumulativeCounts: 2 }),
    average: wrap(sgd({ lr: 3 })),
  });
  const schedulers = createSchedulerDict(optim, {
    generator: { lr: halve, momentum: halve },
    discriminator: { lr: [halve, step({ stepSize: 1, by: "epoch" })] },
  });
  return { optim, schedulers };
}

describe("schedulers of a dict", () => {
  test("count the updates of each wrapper, and epochs of all", () => {
    const { optim, schedulers } = gan();
    for (let iteration = 0; iteration < 4; iteration += 1) {
      for (const name of ["generator", "discriminator", "average"] as const) {
        schedulers.get(name).step(optim.get(name).updateParams(batch));
      }
    }
    schedulers.stepEpoch();
    expect(optim.getLr()).toEqual({
      "generator.lr": [1 / 16],
      "discriminator.lr": [(8 / 4) * 0.1],
      "average.lr": [3],
    });
    expect(optim.getMomentum()).toMatchObject({ "generator.momentum": [0.5 / 16] });
    expect([...schedulers].map(([name, { updates, epochs }]) => [name, updates, epochs])).toEqual([
      ["generator", 4, 1],
      ["discriminator", 2, 1],
      ["average", 4, 1],
    ]);
    expect(schedulers.size).toBe(3);
  });

  test("are saved and loaded together", () => {
    const first = gan();
    first.schedulers.get("generator").step({ updated: true });
    first.schedulers.stepEpoch();
    const state = first.schedulers.stateDict();
    const second = gan();
    expect(second.schedulers.loadStateDict(JSON.parse(JSON.stringify(state)) as typeof state)).toEqual({
      missing: [],
      unexpected: [],
      changed: [],
    });
    expect(second.optim.getLr()).toEqual(first.optim.getLr());
    expect(second.schedulers.stateDict()).toEqual(state);
  });

  test("write over what a load of the wrappers wrote", () => {
    const { optim, schedulers } = gan();
    optim.paramGroups.generator[0].lr = 7;
    optim.paramGroups.average[0].lr = 5;
    schedulers.apply();
    expect(optim.getLr()).toMatchObject({ "generator.lr": [1], "average.lr": [5] });
  });

  test("take a state all, or none", () => {
    const { optim, schedulers } = gan();
    const before = [optim.getLr(), schedulers.stateDict()];
    const state = schedulers.stateDict();
    const { generator, discriminator, average } = state.schedulers;
    const bad = [
      ["state-mismatch", { ...state, schedulers: { generator, discriminator } }],
      ["state-mismatch", { ...state, schedulers: { ...state.schedulers, critic: average } }],
      ["state-mismatch", { ...state, schedulers: { ...state.schedulers, average: generator } }],
      [
        "invalid-state",
        { ...state, schedulers: { ...state.schedulers, average: { ...average, epochs: 0.5 } } },
      ],
      ["invalid-state", generator],
    ] as const;
    for (const [code, wrong] of bad) {
      const error = thrownBy(() => schedulers.loadStateDict(wrong as typeof state));
      expect(error.code).toBe(code);
      expect([optim.getLr(), schedulers.stateDict()]).toEqual(before);
    }
    expect(thrownBy(() => schedulers.loadStateDict(bad[0][1] as typeof state)).missing).toEqual(["average"]);
    expect(schedulers.loadStateDict(bad[0][1] as typeof state, { strict: false }).missing).toEqual([
      "average",
    ]);
    expect(thrownBy(() => schedulers.loadStateDict(bad[3][1])).message).toMatch(
      /^state\.schedulers\.average\.epochs: expected an integer/,
    );
  });

  test("take a count all, or none", () => {
    const wrappers = { first: wrap(sgd({ lr: 1 })), second: wrap(sgd({ lr: 1 })) };
    const schedulers = createSchedulerDict(Object.entries(wrappers), {
      first: { lr: exponential({ gamma: 0.5, by: "epoch" }) },
      second: { lr: custom((count, value) => (count > 0 ? -1 : value), { by: "epoch" }) },
    });
    expect(thrownBy(() => schedulers.stepEpoch()).code).toBe("invalid-hyperparameter");
    expect([wrappers.first.getLr().lr, schedulers.get("first").epochs]).toEqual([[1], 0]);
  });

  test("are made all, or none", () => {
    const wrappers = [
      ["first", wrap(sgd({ lr: 1 }))],
      ["second", wrap(sgd({ lr: 1 }))],
    ] as const;
    const refused = thrownBy(() =>
      createSchedulerDict(wrappers, { first: { lr: custom(() => 5) }, second: { lr: custom(() => -1) } }),
    );
    expect([refused.code, wrappers[0][1].getLr().lr]).toEqual(["invalid-hyperparameter", [1]]);
  });
});

test("what is no dict of wrappers, and plans that fit none, are refused", () => {
  const wrapper = wrap(sgd());
  const make = (wrappers: unknown, plans: object = {}) =>
    thrownBy(() => createSchedulerDict(wrappers as [string, typeof wrapper][], plans));
  expect(make(wrapper)).toMatchObject({ code: "invalid-option" });
  expect(make([["a", {}]])).toMatchObject({ code: "invalid-wrapper" });
  expect(
    make([
      ["a", wrapper],
      ["a", wrap(sgd())],
    ]),
  ).toMatchObject({ code: "invalid-name" });
  expect(
    make([
      ["a", wrapper],
      ["b", wrapper],
    ]),
  ).toMatchObject({ code: "duplicate-wrapper" });
  expect(make([["a", wrapper]], { a: null })).toMatchObject({ code: "invalid-option" });
  expect(make([["a", wrapper]], [])).toMatchObject({ code: "invalid-option" });
  expect(make([["a", wrapper]], { b: {} })).toMatchObject({ code: "unknown-name", expected: "one of a" });
  expect(make([["a", wrapper]], { a: { lr: [halve, 3] } }).message).toMatch(
    /^createSchedulerDict\.a\.lr\[1\]: expected a schedule/,
  );
  const schedulers = createSchedulerDict(
    [
      ["a", wrapper],
      ["constructor", wrap(sgd())],
    ],
    {},
  );
  for (const options of [null, { strict: 1 }]) {
    const load = () => schedulers.loadStateDict(schedulers.stateDict(), options as object);
    expect(thrownBy(load).code).toBe("invalid-option");
  }
  expect(thrownBy(() => schedulers.get("b" as "a")).code).toBe("unknown-name");
});
