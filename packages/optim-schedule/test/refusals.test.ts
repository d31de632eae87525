import { adam, sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import {
  constant,
  cosine,
  cosineRestarts,
  createScheduler,
  custom,
  cyclic,
  exponential,
  inverseSqrt,
  linear,
  multiStep,
  oneCycle,
  oneCycleMomentum,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  sequence,
  step,
  warmupCosine,
  wsd,
} from "@mm/optim-schedule";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wrap, wrapTwo } from "./wrappers.ts";

type Anything = (options: never, where?: string) => Schedule;

/** By kind: options that are fine, and by field what each is not. */
const factories: Readonly<
  Record<string, { make: Anything; fine: object; wrong: Readonly<Record<string, readonly unknown[]>> }>
> = {
  constant: { make: constant, fine: { factor: 1 }, wrong: { factor: [undefined, -1, "1", Number.NaN] } },
  linear: {
    make: linear,
    fine: { length: 3 },
    wrong: { length: [undefined, 0, 1.5], startFactor: [-0.1, null], endFactor: [Number.POSITIVE_INFINITY] },
  },
  step: { make: step, fine: { stepSize: 3 }, wrong: { stepSize: [undefined, 0, "3"], gamma: [-1] } },
  multiStep: {
    make: multiStep,
    fine: { milestones: [1, 2] },
    wrong: {
      milestones: [undefined, 3],
      "milestones[1]": [
        [1, -1],
        [1, 0.5],
      ],
      gamma: [null],
    },
  },
  exponential: { make: exponential, fine: { gamma: 0.9 }, wrong: { gamma: [undefined, -1, "0.9"] } },
  cosine: {
    make: cosine,
    fine: { length: 3 },
    wrong: {
      length: [undefined, 0],
      tMax: [0, 2.5],
      etaMin: ["0", Number.NaN, [1]],
      "etaMin.head": [{ head: "0" }, { body: 1, head: Number.NaN }],
      etaMinRatio: [-1],
    },
  },
  cosineRestarts: {
    make: cosineRestarts,
    fine: { periods: [3, 4] },
    wrong: {
      periods: [undefined, []],
      "periods[0]": [[0, 1]],
      restartWeights: [[1]],
      "restartWeights[0]": [[-1, 1]],
    },
  },
  polynomial: {
    make: polynomial,
    fine: { length: 3 },
    wrong: { length: [undefined, -3], power: [0, -1, "2"], etaMin: [null] },
  },
  oneCycle: {
    make: oneCycle,
    fine: { length: 3 },
    wrong: {
      length: [undefined],
      etaMax: ["1"],
      "etaMax.head": [{ head: "1" }],
      pctStart: [0, 1],
      annealStrategy: ["cosine"],
      divFactor: [0],
      finalDivFactor: [-1],
      threePhase: [1],
    },
  },
  oneCycleMomentum: {
    make: oneCycleMomentum,
    fine: { length: 3 },
    wrong: {
      length: [undefined],
      baseMomentum: ["0.85"],
      maxMomentum: [null],
      pctStart: [0, 1],
      annealStrategy: ["cosine"],
      threePhase: [1],
    },
  },
  cyclic: {
    make: cyclic,
    fine: { baseRatio: 0.1, up: 3 },
    wrong: {
      baseRatio: [undefined, -1],
      up: [undefined, 0, 1.5],
      down: [0],
      mode: ["exp_range"],
      // It is of one mode alone.
      gamma: [-1, "1", 0.9],
    },
  },
  warmupCosine: {
    make: warmupCosine,
    fine: { warmup: 1, length: 3 },
    // There must be counts for the cosine.
    wrong: { warmup: [undefined, -1, 3], length: [undefined, 0], startFactor: [-1], etaMin: [null] },
  },
  wsd: {
    make: wsd,
    fine: { length: 3, decay: 3 },
    wrong: {
      length: [undefined, 0],
      decay: [undefined, 0, 4],
      warmup: [-1],
      decayType: ["1-sqrt"],
      startFactor: [-1],
      etaMinRatio: [-1],
    },
  },
  inverseSqrt: {
    make: inverseSqrt,
    fine: { timescale: 3 },
    // One of the two there must be.
    wrong: { warmup: [-1], timescale: [undefined, 0] },
  },
  reduceOnPlateau: {
    make: reduceOnPlateau,
    fine: {},
    wrong: {
      mode: ["less"],
      factor: [1, -0.1],
      patience: [-1, 0.5],
      threshold: ["1e-4", -1],
      thresholdMode: ["relative"],
      cooldown: [-1],
      eps: [-1],
      etaMin: [Number.NaN],
      etaMinRatio: [-1],
    },
  },
  custom: { make: (options) => custom((_, value) => value, options), fine: {}, wrong: {} },
};

describe.each(Object.entries(factories))("%s refuses", (name, { make, fine, wrong }) => {
  const refused = (options: unknown, where?: string) => thrownBy(() => make(options as never, where));
  // Reduce-on-plateau counts measures, and takes none of the common options.
  const common =
    name === "reduceOnPlateau" ? {} : { begin: [-1, 0.5, null], length: [0, "3"], by: ["iteration", true] };

  test.each(Object.entries({ ...common, ...wrong }))("%s", (field, values) => {
    const option = field.replace(/[[.].*/, "");
    for (const value of values) {
      const { code, message } = refused({ ...fine, [option]: value });
      expect([code, message.split(": expected")[0]]).toEqual(["invalid-option", `${name}.${field}`]);
    }
  });

  test("options that nobody reads, and what is no record", () => {
    expect(refused({ ...fine, lenght: 3 })).toMatchObject({ code: "unknown-option", received: "lenght" });
    for (const none of [null, 3, [], "cosine"]) {
      expect(refused(none)).toMatchObject({ code: "invalid-option", expected: "an object" });
    }
  });
});

test("options that do not go together", () => {
  const both = { length: 3, etaMin: 0.1, etaMinRatio: 0.1 };
  for (const make of [cosine, polynomial]) {
    expect(() => make(both)).toThrow(/\.etaMinRatio: expected nothing beside etaMin, got 0\.1/);
  }
  expect(() => oneCycle({ length: 10, pctStart: 0.5, threePhase: true })).toThrow(
    "oneCycle.pctStart: expected below 0.5 with threePhase, got 0.5",
  );
  expect(() => wsd({ length: 10, warmup: 4, decay: 7 })).toThrow(
    "wsd.decay: expected with warmup, at most as many counts as length, got 7",
  );
});

describe("sequence refuses", () => {
  const up = linear({ length: 3 });
  const down = cosine({ length: 9 });
  test.each<readonly [string, () => Schedule, string]>([
    ["no schedules", () => sequence([], []), "sequence.schedules: expected at least one schedule, got []"],
    [
      "what is no list",
      () => sequence({ schedules: up, milestones: [] } as never),
      "sequence.schedules: expected an array",
    ],
    [
      "what is no schedule",
      () => sequence([up, { length: 3 } as never], [3]),
      "sequence.schedules[1]: expected a schedule",
    ],
    [
      "too few milestones",
      () => sequence([up, down], []),
      "sequence.milestones: expected 1 counts, rising: one for each schedule but the first, got []",
    ],
    ["too many", () => sequence([up], [3]), "sequence.milestones: expected 0 counts"],
    [
      "none",
      () => sequence([up] as never, undefined as never),
      "sequence.milestones: expected an array, got undefined",
    ],
    [
      "milestones that fall",
      () => sequence([up, down, up], [3, 3]),
      "sequence.milestones: expected 2 counts, rising",
    ],
    [
      "a milestone of 0",
      () => sequence([up, down], [0]),
      "sequence.milestones[0]: expected an integer of at least 1, got 0",
    ],
    [
      "a measure",
      () => sequence([up, reduceOnPlateau()], [3]),
      'sequence.schedules[1]: expected a schedule in closed form, which listens to no measures, got "reduceOnPlateau"',
    ],
    [
      "two units",
      () => sequence([up, cosine({ length: 3, by: "epoch" })], [3]),
      'sequence.schedules[1].by: expected "update", as the first has, got "epoch"',
    ],
    [
      "options that nobody reads",
      () => sequence({ schedules: [up], milestones: [], length: 3 } as never),
      'sequence: expected one of schedules, milestones, begin, got "length"',
    ],
  ])("%s", (_, make, message) => {
    expect(thrownBy(make).message).toContain(message);
  });
});

test("a place that the caller names takes that of the factory", () => {
  const place = "optim.generator.lr[0]";
  expect(() => linear({ length: 0 }, place)).toThrow(
    `${place}.length: expected an integer of at least 1, got 0`,
  );
  expect(() => reduceOnPlateau({ factor: 2 }, place)).toThrow(`${place}.factor: expected`);
  expect(() => custom(3 as never, {}, place)).toThrow(`${place}: expected a function, got 3`);
});

describe("a scheduler refuses", () => {
  const halve = exponential({ gamma: 0.5 });

  test.each<readonly [string, unknown, string, string]>([
    ["a hyperparameter that the rule does not have", { betas: halve }, "unknown-option", "createScheduler"],
    ["a misspelled one", { LR: halve }, "unknown-option", "createScheduler"],
    ["a switch", { nesterov: halve }, "unknown-option", "createScheduler"],
    ["a number for a schedule", { lr: 0.1 }, "invalid-option", "createScheduler.lr"],
    [
      "a schedule's options for a schedule",
      { lr: [halve, { gamma: 1 }] },
      "invalid-option",
      "createScheduler.lr[1]",
    ],
    ["a list of nothing", { lr: [] }, "invalid-option", "createScheduler.lr"],
    ["null for a schedule", { lr: null }, "invalid-option", "createScheduler.lr"],
    ["a list for a plan", [halve], "invalid-option", "createScheduler"],
    ["no plan", undefined, "invalid-option", "createScheduler"],
  ])("%s", (_, plan, code, who) => {
    const wrapper = wrapTwo();
    const error = thrownBy(() => createScheduler(wrapper, plan as object));
    expect([error.code, error.message.split(":")[0]]).toEqual([code, who]);
    expect(wrapper.getLr().lr).toEqual([0.1, 0.01]);
  });

  test("a value that the rule refuses, and takes back what it wrote before", () => {
    const wrapper = wrapTwo();
    // Fine for the body, with its 0.1, and refused for the head.
    const plan = { lr: custom((_, value) => (value === 0.1 ? 5 : -1)) };
    expect(thrownBy(() => createScheduler(wrapper, plan)).message).toContain('group "head"');
    expect(wrapper.getLr().lr).toEqual([0.1, 0.01]);
  });

  test("names of hyperparameters, with those that there are", () => {
    const wrapper = wrap(adam());
    expect(thrownBy(() => createScheduler(wrapper, { "betas[2]": halve } as object)).expected).toBe(
      "one of lr, betas[0], betas[1], eps, weightDecay, accumulativeCounts",
    );
  });

  test("one number under two names", () => {
    const wrapper = wrap(adam());
    expect(() => createScheduler(wrapper, { momentum: halve, "betas[0]": halve })).toThrow(
      "createScheduler.betas[0]: expected another hyperparameter than momentum",
    );
  });

  test("what is no wrapper", () => {
    for (const none of [undefined, {}, wrap(sgd()).optimizer]) {
      expect(thrownBy(() => createScheduler(none as never, {})).code).toBe("invalid-wrapper");
    }
  });

  test("counts, measures and results that are none", () => {
    const scheduler = createScheduler(wrapTwo(), { lr: halve });
    scheduler.step({ updated: true });
    const calls = [
      () => scheduler.step(undefined as never),
      () => scheduler.step({ updated: 1 } as never),
      () => scheduler.rewind(2),
      () => scheduler.rewind(-1),
      () => scheduler.rewind(0.5),
      () => scheduler.observe("0.1" as never),
      () => scheduler.at({ updates: -1 }),
      () => scheduler.at({ updates: 1, epochs: 0.5 }),
    ];
    for (const call of calls) expect(thrownBy(call).code).toBe("invalid-option");
    expect(thrownBy(() => scheduler.rewind(2)).message).toBe(
      "rewind: expected at most 1, the updates that were counted, got 2",
    );
    expect(scheduler.updates).toBe(1);
  });
});
