import { defineUpdateRule, mul, sub, type UpdateRule } from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { thrownBy } from "../../../test-support/refusal.ts";
import { pairs, type Settings } from "./expectation.ts";

type Factory = (hyperparameters: Settings) => unknown;
const make = (name: string): Factory =>
  (rules as unknown as { readonly [rule: string]: Factory })[name] as Factory;
const refused = (words: string): unknown =>
  expect.objectContaining({
    code: "invalid-hyperparameter",
    message: expect.stringContaining(words) as unknown,
  });

test.each(pairs.map(({ name }) => name))("%s refuses a negative learning rate", (name) => {
  expect(() => make(name)({ lr: -1e-3 })).toThrow(refused("lr of at least 0"));
});

// The values that a hyperparameter of this name may not have, in any rule that has it.
const values: {
  readonly [hyperparameter: string]: readonly (readonly [value: Settings[string], words: string])[];
} = {
  betas: [
    [[1, 0.9], "betas[0] of at least 0 and below 1"],
    [[0.9, 1], "betas[1] of at least 0 and below 1"],
    [[0.9, -0.1], "betas[1] of at least 0 and below 1"],
    [[0.9], "finite numbers in an array"],
  ],
  eps: [[-1e-8, "eps of at least 0"]],
  weightDecay: [[-0.1, "weightDecay of at least 0"]],
  momentum: [[-0.1, "momentum of at least 0"]],
  alpha: [[-0.1, "alpha of at least 0"]],
  rho: [[1, "rho of at least 0 and below 1"]],
  lrDecay: [[-1, "lrDecay of at least 0"]],
  initialAccumulatorValue: [[-1, "initialAccumulatorValue of at least 0"]],
  momentumDecay: [[-1, "momentumDecay of at least 0"]],
  lambd: [[-1, "lambd of at least 0"]],
  t0: [[-1, "t0 of at least 0"]],
  trustCoefficient: [[0, "trustCoefficient above 0"]],
  etas: [
    [[0.5, 1], "0 < minus < 1 < plus"],
    [[0, 1.2], "0 < minus < 1 < plus"],
    [[1, 1.2], "0 < minus < 1 < plus"],
  ],
  stepSizes: [
    [[-1, 50], "stepSizes[0] of at least 0"],
    [[2, 1], "in this order"],
  ],
  clipExponent: [[-1, "clipExponent of at least 0"]],
  innerMomentum: [
    [-0.1, "innerMomentum of at least 0 and below 1"],
    [1, "innerMomentum of at least 0 and below 1"],
  ],
  warmupSteps: [[-1, "warmupSteps of at least 0"]],
  r: [[-1, "r of at least 0"]],
  weightLrPower: [[-1, "weightLrPower of at least 0"]],
  gamma: [[-0.1, "gamma of at least 0"]],
  alphaWarmup: [[-1, "alphaWarmup of at least 0"]],
  beta3Warmup: [[-1, "beta3Warmup of at least 0"]],
  amsgrad: [[1, "true or false"]],
};

const hasThree = (rule: UpdateRule): boolean =>
  (rule.hyperparameters as unknown as Settings)["betas"]?.toString().split(",").length === 3;

const cases = pairs.flatMap(({ name, factory }) =>
  Object.keys(factory().hyperparameters).flatMap((hyperparameter) =>
    (values[hyperparameter] ?? [])
      .filter(([value]) => !(Array.isArray(value) && value.length === 2 && hasThree(factory())))
      .map(([value, words]) => [name, hyperparameter, value, words] as const),
  ),
);

test.each(pairs)(
  "$name refuses a number in the place of options, and says how to write it",
  ({ factory }) => {
    const error = thrownBy(() => (factory as unknown as (lr: number) => unknown)(0.1));
    expect(error.code).toBe("invalid-hyperparameter");
    expect(error.message).toMatch(/: expected hyperparameters by name, got 0\.1\. Write \{ lr: 0\.1 \}$/);
  },
);

test.each(cases)("%s refuses %s %j", (name, hyperparameter, value, words) => {
  expect(() => make(name)({ [hyperparameter]: value })).toThrow(refused(words));
});

test.each([
  ["sgd", { nesterov: true }],
  ["sgd", { nesterov: true, momentum: 0.9, dampening: 0.1 }],
  ["lars", { nesterov: true, momentum: 0 }],
  ["sgdw", { nesterov: true }],
  ["sgdw", { nesterov: true, momentum: 0.9, dampening: 0.1 }],
] as const)("%s refuses %j: Nesterov's needs momentum", (name, settings) => {
  expect(() => make(name)(settings)).toThrow(refused("momentum above 0"));
});

test.each([
  ["scheduleFreeSgd", { lr: 1e20 }, "an lr whose power weightLrPower float32 holds"],
  ["scheduleFreeSgd", { momentum: 0 }, "momentum above 0"],
  ["scheduleFreeAdamw", { betas: [0, 0.999] }, "betas[0] above 0"],
  ["scheduleFreeRadam", { betas: [0, 0.999] }, "betas[0] above 0"],
] as const)("%s refuses %j: its average could not be found", (name, settings, words) => {
  expect(() => make(name)(settings)).toThrow(refused(words));
});

test.each([
  ["rmsprop", { alpha: 1 }],
  ["signum", { momentum: 1 }],
  ["marsLion", { momentum: 1 }],
  ["ademamix", { betas: [0.9, 0.999, 1] }],
  ["adan", { betas: [0.98, 0.92, 1] }],
  ["scheduleFreeSgd", { momentum: 1 }],
] as const)("%s refuses an average that takes nothing in: %j", (name, settings) => {
  expect(() => make(name)(settings)).toThrow(refused("below 1"));
});

test("every bound that a value has is in this table", () => {
  const checked = new Set([...Object.keys(values), "lr"]);
  const numeric = pairs.flatMap(({ factory }) =>
    Object.entries(factory().hyperparameters).filter(([, value]) => typeof value !== "boolean"),
  );
  // A dampening may be any number, as PyTorch's.
  expect([...new Set(numeric.map(([name]) => name))].filter((name) => !checked.has(name))).toEqual([
    "dampening",
  ]);
});

test("a refused value changes nothing when it is assigned to a group", () => {
  const optimizer = arrayOptimizer(rules.sgd({ momentum: 0.9, nesterov: true }), { w: Float32Array.of(1) });
  const [group] = optimizer.paramGroups;
  expect(() => (group.momentum = 0)).toThrow(refused("nesterov"));
  expect(group.momentum).toBe(0.9);
});

test.each([undefined, null, 5, "adamw", {}, rules.adamw])("combinators take a rule, not %s", (rule) => {
  const given = rule as ReturnType<typeof rules.adamw>;
  for (const combine of [rules.ema, rules.swa, rules.lookahead, rules.cautious]) {
    expect(() => combine(given)).toThrow(expect.objectContaining({ code: "invalid-rule" }) as Error);
  }
});

test.each([
  ["ema", "ema", rules.ema],
  ["ema", "stepsSinceEma", rules.ema],
  ["swa", "swa", rules.swa],
  ["swa", "swaCount", rules.swa],
  ["swa", "stepsSinceSwa", rules.swa],
  ["lookahead", "slow", rules.lookahead],
  ["lookahead", "stepsSinceSync", rules.lookahead],
] as const)("%s refuses a rule that has the slot %s, in any structure", (name, slot, combinator) => {
  const rule = defineUpdateRule({
    name: "Own",
    hyperparameters: { lr: 1, remembers: false },
    slots: ({ remembers }) => (remembers ? { [slot]: 0 } : {}),
    update: (x, { lr }, { remembers }) => {
      const param = sub(x.param, mul(lr, x.grad));
      return remembers ? { param, [slot]: x.grad } : { param };
    },
  })();
  const { code, message } = thrownBy(() => combinator(rule));
  expect([code, message]).toEqual([
    "invalid-rule",
    expect.stringContaining(`${name}: expected a rule without a slot ${slot}, got "Own"`),
  ]);
});
