import { hostCapabilities, matrixViewOf } from "@mm/optim-core/backend";
import {
  add,
  defineUpdateRule,
  div,
  dot,
  max,
  mul,
  perRow,
  shared,
  sqrt,
  sub,
  sum,
  total,
  type UpdateRule,
} from "@mm/optim-core/rule";
import {
  adafactor,
  adam,
  adaMuon,
  adamp,
  came,
  dAdaptAdam,
  dAdaptSgd,
  ema,
  laprop,
  marsShampoo,
  muon,
  norMuon,
  prodigy,
  sgd,
} from "@mm/optim-rules";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { referenceFactory, testRule, type Tolerance } from "../src/index.ts";
import { kitRules } from "../src/kit/rules.ts";
import { type Modelled, modelled, stepInFloat64 } from "../src/rule/float64.ts";
import { brokenBackends, type BrokenBackend, printingFactory, type ReferenceFactory } from "./broken.ts";

const stepOne = (
  definition: UpdateRule["definition"],
  hyperparameters: UpdateRule["hyperparameters"],
  before: Modelled,
  gradient: readonly number[],
): Modelled => stepInFloat64(definition, hyperparameters, [[before, gradient]])[0] as Modelled;

/** The tests that are registered for a rule on a backend, by title: the message of those that fail. */
async function failuresOf(
  rule: UpdateRule,
  factory: ReferenceFactory,
  options: { readonly tolerance?: Tolerance } = {},
): Promise<Map<string, string>> {
  const runs: (readonly [title: string, run: () => Promise<void>])[] = [];
  testRule({ test: (title, run) => runs.push([title, run]), rule, backends: [factory], ...options });
  const failed = new Map<string, string>();
  for (const [title, run] of runs)
    await run().catch((error: unknown) => failed.set(title, (error as Error).message));
  return failed;
}

// With vitest's `test`, on two backends.
testRule({
  test,
  rule: ema(laprop({ lr: 0.1, eps: 1e-3 })),
  backends: [referenceFactory(), printingFactory],
});

const once = kitRules.filter(
  ([, rule], index) => kitRules.findIndex(([, other]) => other.name === rule.name) === index,
);

test.each([
  ["Prodigy", prodigy({ lr: 1, d0: 0.01 })],
  ["D-Adaptation of Adam", dAdaptAdam({ lr: 1, d0: 0.01 })],
  ["D-Adaptation of SGD", dAdaptSgd({ lr: 1, d0: 0.01 })],
] as const)("%s, with totals, holds on the reference backend in all its variants", async (_, rule) => {
  expect([...(await failuresOf(rule, referenceFactory()))]).toEqual([]);
});

test.each(once)("%s holds on the reference backend in all its variants", async (name, rule) => {
  // Without averaging, Yogi's v − g² cancels in float32.
  const options = name === "Yogi" ? { tolerance: { absolute: 1e-4, relative: 1e-4 } } : {};
  expect([...(await failuresOf(rule, referenceFactory(), options))]).toEqual([]);
});

const shaped: readonly (readonly [name: string, rule: UpdateRule, tolerance?: Tolerance])[] = [
  ["Adafactor", adafactor()],
  ["AdaMuon", adaMuon()],
  ["AdamP", adamp()],
  // With betas of 0 it divides by √1e-16: a step at lr = 2e-4 is 2e4 long, where the numbers of float32 are 2e-3 apart.
  ["CAME", came({ lr: 2e-4 }), { absolute: 4e-3, relative: 2e-5 }],
  ["MARS-Shampoo", marsShampoo()],
  ["Muon", muon()],
  ["NorMuon", norMuon()],
];
for (const [name, rule, tolerance] of shaped)
  test(`${name}, which asks for rows, columns or matrices, holds too`, async () => {
    expect([...(await failuresOf(rule, referenceFactory(), tolerance && { tolerance }))]).toEqual([]);
  });

test("the evaluation in float64 takes a matrix as the rule does, wherever a host puts its outputs", () => {
  const { definition, hyperparameters } = defineUpdateRule({
    name: "Rows",
    shapes: "matrix",
    hyperparameters: { lr: 1 },
    slots: () => ({ rowSum: perRow() }),
    update: ({ param, grad, cols, rowSum }) => ({
      param: sub(param, div(grad, add(rowSum, cols))),
      rowSum: add(rowSum, sum(grad, "row")),
    }),
  })();
  const gradient = [2, 4, 6, 8, 10, 12];
  // Two rows of three: 0 − g/(0 + 3), sums 2 + 4 + 6 and 8 + 10 + 12; then − g/(12 + 3) and − g/(30 + 3).
  const first = stepOne(
    definition,
    hyperparameters,
    modelled([0, 0, 0, 0, 0, 0], matrixViewOf([2, 3])),
    gradient,
  );
  expect(first).toMatchObject({ values: gradient.map((g) => -g / 3), slots: { rowSum: [12, 30] } });
  const second = stepOne(definition, hyperparameters, first, gradient);
  expect(second.values[0]).toBeCloseTo(-2 / 3 - 2 / 15, 12);
  expect(second.values[5]).toBeCloseTo(-12 / 3 - 12 / 33, 12);
  // Outputs last: three rows of two, which are the columns of memory. Sums 2 + 8, 4 + 10 and 6 + 12.
  const last = modelled([0, 0, 0, 0, 0, 0], matrixViewOf([2, 3], "last"));
  expect(stepOne(definition, hyperparameters, last, gradient)).toMatchObject({
    values: gradient.map((g) => -g / 2),
    slots: { rowSum: [10, 14, 18] },
  });
});

test("a total in float64 is a sum over all that step, and a shared slot is one number", () => {
  const largestNorm = defineUpdateRule({
    name: "largestNorm",
    hyperparameters: { lr: 1 },
    scalarSlots: () => ({ largest: shared(0) }),
    update({ param, grad, largest }, { lr }) {
      const now = max(largest, sqrt(total(dot(grad, grad))));
      return { param: sub(param, mul(div(lr, now), grad)), largest: now };
    },
  })();
  const { definition, hyperparameters } = largestNorm;
  const [a, b, c] = [modelled([0, 0]), modelled([0]), modelled([0])];
  // √(2² + 3² + 6²) = 7
  const [a1, b1] = stepInFloat64(definition, hyperparameters, [
    [a, [2, 3]],
    [b, [6]],
  ]) as [Modelled, Modelled];
  expect([a1, b1]).toMatchObject([
    { values: [-2 / 7, -3 / 7], scalarSlots: { largest: 7 } },
    { values: [-6 / 7], scalarSlots: { largest: 7 } },
  ]);
  // √(3² + 4²) = 5 is below the 7 of before, which one that joins takes over.
  const [a2, c1] = stepInFloat64(
    definition,
    hyperparameters,
    [
      [a1, [3, 0]],
      [c, [4]],
    ],
    b1.scalarSlots,
  ) as [Modelled, Modelled];
  expect(a2.values[0]).toBeCloseTo(-2 / 7 - 3 / 7, 14);
  expect(c1).toMatchObject({ values: [-4 / 7], step: 1, scalarSlots: { largest: 7 } });
});

test("the evaluation in float64 is arithmetic that can be redone", () => {
  const { definition, hyperparameters } = sgd({ lr: 0.5, momentum: 0.5, weightDecay: 1 });
  const first = stepOne(definition, hyperparameters, modelled([2]), [1]);
  // g = 1 + 1 × 2 = 3; b = 3; 2 − 0.5 × 3
  expect(first).toMatchObject({
    values: [0.5],
    step: 1,
    slots: { momentumBuffer: [3] },
    scalarSlots: { momentumStarted: 1 },
  });
  // g = 1 + 0.5 = 1.5; b = 0.5 × 3 + 1.5 = 3; 0.5 − 0.5 × 3
  expect(stepOne(definition, hyperparameters, first, [1]).values).toEqual([-1]);
});

test.each([
  ["moves the moments in a skipped step", /^update: step 10: b\[0\] expected /],
  ["counts a skipped step", /^update: step 10: b\[0\] expected /],
  ["zeroes gradients in place of forgetting them", /^update: step 5: s\[0\] expected /],
  ["takes a learning rate when it is made, and never again", /^update: step 7: b\[0\] expected /],
  ["puts eps inside the root", /^update: step \d+: \w\[\d\] expected /],
  ["corrects the bias by one step too many", /^update: step 1: \w\[\d\] expected /],
])("finds a backend that %s", async (fault, message) => {
  const { factory } = brokenBackends.find((broken) => broken.fault === fault) as BrokenBackend;
  const failed = await failuresOf(adam({ lr: 0.1, eps: 0.01 }), factory);
  expect(failed.get("broken: Adam: as it is, is what its expressions come to in float64")).toMatch(message);
});

test("finds a backend that loses a hyperparameter of 0, where a number is set to 0", async () => {
  const { factory } = brokenBackends.find(({ fault }) => fault.endsWith("of 0")) as BrokenBackend;
  const failed = [...(await failuresOf(adam({ lr: 0.1 }), factory)).keys()];
  expect(failed).toContain("broken: Adam: betas 0,0, is what its expressions come to in float64");
});

test("asks for backends that run rules", async () => {
  const factory = referenceFactory("lesser");
  const lesser: ReferenceFactory = {
    ...factory,
    createOptimizer: (rule, parameters) =>
      Object.create(factory.createOptimizer(rule, parameters), {
        capabilities: { value: { ...hostCapabilities, rules: false } },
      }) as never,
  };
  const failed = await failuresOf(sgd({ lr: 1 }), lesser);
  expect([...failed.values()][0]).toBe("reference: capabilities.rules expected true, got false");
});

test("refuses what is no rule", () => {
  expect(thrownBy(() => testRule({ test, rule: adam as never, backends: [] })).code).toBe("invalid-rule");
});
