import { createOptimWrapper, type OptimizerStateDict } from "@mm/optim-core";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { arrayOptimizer, descent, gradients, heavyBall } from "./backend.ts";

/** `a` follows θ ← θ − ηg, `b` heavy ball with μ = 0.5. */
function twoRules(rule = heavyBall({ momentum: 0.5 })) {
  const parameters = { a: Float32Array.of(0), b: Float32Array.of(0) };
  const optimizer = arrayOptimizer(descent({ lr: 0.5 }), [
    { name: "rest", params: { a: parameters.a } },
    { name: "hidden", params: { b: parameters.b }, rule },
  ]);
  return { ...parameters, optimizer };
}

describe("a group with a rule of its own", () => {
  test("follows it, after one clip by the norm of all gradients", async () => {
    const { a, b, optimizer } = twoRules();
    const wrapper = createOptimWrapper(optimizer, { clipGrad: { maxNorm: 5 } });
    // ‖(6, 8)‖ = 10: all gradients are halved. a: −0.5 × 3; b: buffer 4.
    wrapper.updateParams(gradients({ a: [6], b: [8] }));
    expect((await wrapper.readMetrics()).gradNorm).toBe(10);
    // ‖(3, 4)‖ = 5. a: −1.5 − 0.5 × 3; b: −4 − (0.5 × 4 + 4).
    wrapper.updateParams(gradients({ a: [3], b: [4] }));
    expect([...a, ...b].map((value) => Math.round(value * 1e5) / 1e5)).toEqual([-3, -10]);
  });

  test("has that rule's hyperparameters, live ones too; the base settings are the optimizer's rule's", () => {
    const { optimizer } = twoRules();
    expect(optimizer.paramGroups.map((group) => ({ ...group }))).toEqual([
      { name: "rest", params: ["a"], lr: 0.5 },
      { name: "hidden", params: ["b"], lr: 1, momentum: 0.5 },
    ]);
    expect({ ...optimizer.baseParamSettings }).toEqual({ name: "base", params: [], lr: 0.5 });
    expect([optimizer.rule, optimizer.defaults]).toEqual(["Descent", { lr: 0.5 }]);
    expect(optimizer.parameters).toEqual([
      { name: "a", shape: [1], group: "rest" },
      { name: "b", shape: [1], group: "hidden", rule: "HeavyBall" },
    ]);
    const wrapper = createOptimWrapper(optimizer);
    expect(wrapper.getMomentum()).toEqual({ momentum: [0, 0.5] });
    expect(wrapper.getLr()).toEqual({ baseLr: [0.5], lr: [0.5, 1] });
  });

  test("may have hyperparameters beside the rule, which are laid over those that it was made with", () => {
    const group = { params: { w: new Float32Array(1) }, rule: heavyBall({ lr: 3, momentum: 0.5 }), lr: 0.25 };
    const [live] = arrayOptimizer(descent(), [group]).paramGroups;
    expect({ ...live }).toEqual({ name: "0", params: ["w"], lr: 0.25, momentum: 0.5 });
  });

  test("may be added later", () => {
    const parameters = { a: Float32Array.of(0), b: Float32Array.of(0) };
    const optimizer = arrayOptimizer(descent(), { a: parameters.a });
    optimizer.addParamGroup({ params: { b: parameters.b }, rule: heavyBall({ momentum: 0.5 }) });
    for (const _ of [1, 2]) {
      optimizer.backward(gradients({ a: [1], b: [1] }));
      optimizer.step();
      optimizer.zeroGrad();
    }
    expect([...parameters.a, ...parameters.b]).toEqual([-2, -2.5]);
  });

  test.each([
    ["no rule", { rule: {} }, "invalid-rule", 'group "1": rule: expected an update rule'],
    ["a factory", { rule: heavyBall }, "invalid-rule", "expected an update rule"],
    ["another rule's hyperparameter", { rule: descent(), momentum: 0.5 }, "unknown-option", "momentum"],
    ["a value that its rule refuses", { rule: heavyBall(), momentum: 2 }, "invalid-hyperparameter", "[0, 1)"],
  ])("is refused with %s, and nothing has changed", (_, options, code, message) => {
    const optimizer = arrayOptimizer(heavyBall(), { w: new Float32Array(1) });
    const params = { v: new Float32Array(1) };
    const error = thrownBy(() => optimizer.addParamGroup({ params, ...options } as never));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(message)]);
    expect(optimizer.parameters.map(({ name }) => name)).toEqual(["w"]);
    optimizer.addParamGroup({ params });
  });
});

describe("the state of groups with rules of their own", () => {
  async function saved(): Promise<OptimizerStateDict> {
    const { optimizer } = twoRules();
    optimizer.backward(gradients({ a: [1], b: [1] }));
    optimizer.step();
    return optimizer.stateDict();
  }

  test("names them, in version 2, which readers of version 1 refuse", async () => {
    const state = await saved();
    expect([state.version, state.rule]).toEqual([2, "Descent"]);
    expect(state.groups).toEqual([
      { name: "rest", params: ["a"], hyperparameters: { lr: 0.5 } },
      { name: "hidden", params: ["b"], rule: "HeavyBall", hyperparameters: { lr: 1, momentum: 0.5 } },
    ]);
  });

  test("is of version 1 where all groups follow the optimizer's rule, named by the group or not", async () => {
    const group = { params: { w: new Float32Array(1) }, rule: descent({ lr: 2 }) };
    const state = await arrayOptimizer(descent(), [group]).stateDict();
    expect(state.version).toBe(1);
    expect(state.groups).toEqual([{ name: "0", params: ["w"], hyperparameters: { lr: 2 } }]);
    const plain = arrayOptimizer(descent(), { w: new Float32Array(1) });
    expect(plain.prepareLoad(state).commit().unexpected).toEqual([]);
  });

  test("goes on to the bit in another optimizer of the same rules", async () => {
    const source = twoRules();
    const step = ({ optimizer }: typeof source) => {
      optimizer.backward(gradients({ a: [0.3], b: [0.7] }));
      optimizer.step();
      optimizer.zeroGrad();
    };
    step(source);
    const target = twoRules();
    target.optimizer.writeParameters({ a: source.a, b: source.b });
    target.optimizer.prepareLoad(await source.optimizer.stateDict()).commit();
    step(source);
    step(target);
    expect([target.a, target.b]).toEqual([source.a, source.b]);
  });

  test("is refused by group where the rules differ, whatever is restored; without strict only what fits is taken", async () => {
    const state = await saved();
    for (const restore of [{}, { hyperparameters: false }]) {
      const { optimizer } = twoRules(descent() as never);
      expect(thrownBy(() => optimizer.prepareLoad(state, { restore }))).toMatchObject({
        code: "state-mismatch",
        mismatched: ['group "hidden": rule HeavyBall saved, Descent here'],
      });
      const report = optimizer.prepareLoad(state, { restore, strict: false }).commit();
      expect(report.unexpected).toContain("b.buffer");
      expect((await optimizer.stateDict()).params.map(({ step }) => step)).toEqual([1, 1]);
    }
  });

  test("of one rule is refused where a group has another", async () => {
    const plain = arrayOptimizer(descent(), [
      { name: "rest", params: { a: new Float32Array(1) } },
      { name: "hidden", params: { b: new Float32Array(1) } },
    ]);
    const { mismatched } = thrownBy(() => twoRules().optimizer.prepareLoad(emptyState));
    const emptyStateMessage = 'group "hidden": rule Descent saved, HeavyBall here';
    expect(mismatched).toEqual([emptyStateMessage]);
    const error = await plain
      .stateDict()
      .then((state) => thrownBy(() => twoRules().optimizer.prepareLoad(state)));
    expect(error.mismatched).toEqual([emptyStateMessage]);
  });
});

/** As an older release wrote it. */
const emptyState: OptimizerStateDict = {
  format: "optim-optimizer",
  version: 1,
  rule: "Descent",
  groups: [
    { name: "rest", params: ["a"], hyperparameters: { lr: 1 } },
    { name: "hidden", params: ["b"], hyperparameters: { lr: 1 } },
  ],
  params: ["a", "b"].map((name) => ({ name, shape: [1], step: 0, slots: {}, scalarSlots: {} })),
  steps: 0,
  skipped: 0,
};
