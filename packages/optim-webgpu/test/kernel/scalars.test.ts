import { evaluateScalars, type Program } from "@mm/optim-core/backend";
import {
  abs,
  add,
  biasCorrection,
  defineUpdateRule,
  div,
  eq,
  exp,
  gt,
  log,
  lt,
  max,
  min,
  mul,
  neg,
  pow,
  type Scalar,
  select,
  sign,
  sqrt,
  sub,
  type Tensor,
  type UpdateRule,
} from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";
import { beforeAll, describe, expect, test } from "vitest";
import { openDevice } from "../support/node.ts";
import { relativeDifference } from "./numbers.ts";
import { programOf } from "../../../../test-support/programs.ts";
import { Rig } from "./rig.ts";
import { Steps } from "./steps.ts";

let rig: Rig;
beforeAll(async () => {
  rig = new Rig(await openDevice());
});

/** The scalar slots of a rule, with their initial values. */
function initialSlots({ definition, hyperparameters }: UpdateRule): (readonly [string, number])[] {
  return Object.entries(definition.scalarSlots?.(hyperparameters as never, {}) ?? {}).map(
    ([name, first]) => [name, typeof first === "object" ? first.initial : first] as const,
  );
}

/** By step: the uniforms that a rule has on the host, and the scalar slots before it. */
function onHost(
  rule: UpdateRule,
  program: Program,
  count: number,
): { readonly uniforms: Float32Array; readonly slotsBefore: readonly (readonly [string, number])[] }[] {
  const registers = new Float64Array(program.scalars.length);
  let slots = initialSlots(rule);
  return Array.from({ length: count }, (_, index) => {
    const slotsBefore = slots;
    const inputs = { step: index + 1, scalarSlots: new Map(slots), sums: [] };
    evaluateScalars(program, { hyperparameters: rule.hyperparameters, ...inputs }, registers);
    slots = program.scalarSlots.map((name, slot) => [name, registers[program.scalarOutputs[slot]!]!]);
    const uniforms = Float32Array.from(program.uniforms, (source) =>
      source.from === "scalar" ? registers[source.register]! : 1,
    );
    return { uniforms, slotsBefore };
  });
}

const stepCount = 10_000;

/** Those whose scalars depend on the step count, a scalar slot or both. */
const rulesWithSteps: readonly (readonly [string, UpdateRule])[] = [
  ["Adam", rules.adam()],
  ["Adam, β = 0.99, 0.99999", rules.adam({ betas: [0.99, 0.99999] })],
  ["AdamW", rules.adamw()],
  ["AdaBelief", rules.adabelief()],
  ["Adagrad", rules.adagrad({ lrDecay: 1e-3 })],
  ["Adamax", rules.adamax()],
  ["Adan", rules.adan({ weightDecay: 0.01 })],
  ["RAdam", rules.radam()],
  // Its rectification begins at step 6 here, where ρ is 5.9985 (at step 5 it is 4.9988). In float32 ρ would be off by 2e-3.
  ["RAdam, β₂ = 0.9999", rules.radam({ betas: [0.9, 0.9999] })],
  ["RAdam, β₂ = 0.99999", rules.radam({ betas: [0.9, 0.99999] })],
  ["NAdam", rules.nadam()],
  ["NAdam, decay 0.04", rules.nadam({ momentumDecay: 0.04, betas: [0.95, 0.9999] })],
  ["ASGD", rules.asgd({ t0: 100 })],
  ["EMA(Adam)", rules.ema(rules.adam())],
  ["Lookahead(RAdam)", rules.lookahead(rules.radam())],
];

/** Pairs have 48 bits: what is left is the last rounding to float32, which may fall on the other side. */
const oneUlp = 1.2e-7;

describe(`device scalars against the host's, ${stepCount} steps`, () => {
  test.each(rulesWithSteps)("%s: within 1 ulp, from the state that the host has", async (_, rule) => {
    const program = programOf(rule);
    const expected = onHost(rule, program, stepCount);
    const slots = initialSlots(rule);
    // One parameter for each step.
    const steps = new Steps(
      rig,
      expected.map(() => new Float32Array(0)),
      program,
      rule.hyperparameters,
      slots,
    );
    steps.writeStates(expected.map(({ slotsBefore }, step) => ({ step, scalarSlots: slotsBefore })));
    steps.step({});
    const worst = (await steps.records()).map(({ live, uniforms }, index) =>
      live === 1 ? relativeDifference(uniforms, expected[index]!.uniforms) : NaN,
    );
    expect(Math.max(...worst)).toBeLessThanOrEqual(oneUlp);
  });

  test.each(rulesWithSteps.filter(([, rule]) => initialSlots(rule).length > 0))(
    "%s: within 1 ulp, from the state that the device made itself",
    async (_, rule) => {
      const program = programOf(rule);
      const own = 1000;
      const expected = onHost(rule, program, own + 1);
      const steps = new Steps(rig, [new Float32Array(0)], program, rule.hyperparameters, initialSlots(rule));
      for (let step = 0; step < own;) {
        const more = step < 10 ? 1 : Math.min(199, own - step);
        steps.step({}, more);
        step += more;
        const [found] = await steps.records();
        expect(
          relativeDifference(found!.uniforms, expected[step - 1]!.uniforms),
          `step ${step}`,
        ).toBeLessThanOrEqual(oneUlp);
        const [state] = await steps.state();
        expect(state!.step).toBe(step);
        // NAdam's product vanishes: below 1e-30 it is as good as 0 beside 1.
        const next = expected[step]!.slotsBefore.map(([, value]) => value);
        expect(relativeDifference(state!.scalarSlots, next, 1e-30)).toBeLessThanOrEqual(1e-9);
      }
    },
  );
});

describe("each operation on scalars", () => {
  const operations = {
    add: (a, b) => add(a, b),
    sub: (a, b) => sub(a, b),
    mul: (a, b) => mul(a, b),
    div: (a, b) => div(a, b),
    min: (a, b) => min(a, b),
    max: (a, b) => max(a, b),
    neg: (a) => neg(a),
    sqrt: (a) => sqrt(a),
    abs: (a) => abs(a),
    sign: (a) => sign(a),
    exp: (a) => exp(a),
    log: (a) => log(a),
    pow: (a, b) => pow(a, b),
    powOfThree: (_, b) => pow(3, b),
    powOfMinusTwo: (_, b) => pow(-2, b),
    powOfZero: (_, b) => pow(0, b),
    biasCorrection: (a, b) => biasCorrection(a, b),
    biasCorrectionOfConstant: (_, b) => biasCorrection(0.999, b),
    gt: (a, b) => select(gt(a, b), a, 7),
    lt: (a, b) => select(lt(a, b), a, 7),
    eq: (a, b) => select(eq(a, b), 5, 7),
  } satisfies { readonly [name: string]: (a: Scalar, b: Scalar) => Scalar };
  type Name = keyof typeof operations;
  const names = Object.keys(operations) as Name[];
  const filled = <T>(of: (name: Name) => T): { readonly [N in Name]: T } =>
    Object.fromEntries(names.map((name) => [name, of(name)])) as { readonly [N in Name]: T };
  // Each result fills a slot, as a uniform.
  const rule = defineUpdateRule({
    name: "Operations",
    hyperparameters: { lr: 1 },
    slots: () => filled(() => 0),
    scalarSlots: () => ({ first: 0, second: 0 }),
    update: ({ param, first, second }) => ({
      ...filled((name) => operations[name](first, second) as Scalar & Tensor),
      param,
      first,
      second,
    }),
  })();

  const values = [
    0,
    1,
    -1,
    0.3,
    -0.7,
    2,
    3,
    -5,
    1e-6,
    100.25,
    -37,
    12345.678,
    1e10,
    NaN,
    Infinity,
    -Infinity,
  ];

  test("is what float64 gives, rounded to float32: of all pairs", async () => {
    const program = programOf(rule);
    const pairs = values.flatMap((a) => values.map((b) => [a, b] as const));
    const steps = new Steps(
      rig,
      pairs.map(() => new Float32Array(0)),
      program,
      { lr: 1 },
      [
        ["first", 0],
        ["second", 0],
      ],
    );
    steps.writeStates(
      pairs.map(([first, second]) => ({
        step: 0,
        scalarSlots: [
          ["first", first],
          ["second", second],
        ],
      })),
    );
    steps.step({});
    const registers = new Float64Array(program.scalars.length);
    const records = await steps.records();
    const wrong: unknown[] = [];
    for (const [index, [first, second]] of pairs.entries()) {
      // Numbers that no rule asks for: a decay rate outside [0, 1), a step count of 0, a power of infinity.
      const left = new Set([
        ...(first >= 0 && first < 1 && second !== 0 ? [] : ["biasCorrection"]),
        ...(Math.abs(first) === Infinity ? ["pow"] : []),
      ]);
      const scalarSlots = new Map(Object.entries({ first, second }));
      evaluateScalars(program, { hyperparameters: { lr: 1 }, step: 1, scalarSlots, sums: [] }, registers);
      for (const [slot, node] of program.outputs.slots.entries()) {
        const value = program.nodes[node]!;
        if (value.op !== "uniform") throw new Error("not a uniform");
        const source = program.uniforms[value.uniform]!;
        if (source.from !== "scalar") throw new Error("not a scalar");
        const expected = Math.fround(registers[source.register]!);
        const found = records[index]!.uniforms[value.uniform]!;
        if (left.has(program.slots[slot]!)) continue;
        if (!(relativeDifference([found], [expected], 1e-37) <= oneUlp)) {
          wrong.push({ operation: program.slots[slot], first, second, found, expected });
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});
