import { createOptimWrapper, type LossScaler } from "@mm/optim-core";
import { defineUpdateRule, mul, sign, sqrt, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, heavyBall, observed } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

test('onNonFinite "zero": norm and clipping see the elements that are finite', async () => {
  const w = new Float32Array(3);
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w }), {
    onNonFinite: "zero",
    clipGrad: { maxNorm: 2.5 },
  });
  wrapper.updateParams(gradients({ w: [3, Number.POSITIVE_INFINITY, 4] }));
  // norm = √(9 + 16) = 5, coefficient = 2.5 ÷ (5 + 1e-6): the gradient becomes [1.5, 0, 2].
  expect((await wrapper.readMetrics()).gradNorm).toBe(5);
  expect(w[0]).toBeCloseTo(-1.5, 5);
  expect(w[1]).toBe(0);
  expect(w[2]).toBeCloseTo(-2, 5);
});

test("a static loss scale keeps its own value when a state is loaded", async () => {
  const from = createOptimWrapper(arrayOptimizer(descent(), { w: new Float32Array(1) }), { lossScale: 64 });
  const to = createOptimWrapper(arrayOptimizer(descent(), { w: new Float32Array(1) }), { lossScale: 8 });
  await to.loadStateDict(await from.stateDict());
  expect((await to.readMetrics()).lossScale).toBe(8);
});

test("memory that runs out while a load is staged leaves everything as it was", async () => {
  const source = arrayOptimizer(heavyBall({ momentum: 0.5 }), {
    a: new Float32Array(2),
    b: new Float32Array(2),
  });
  source.backward(gradients({ a: [1, 2], b: [3, 4] }));
  source.step();
  const state = await source.stateDict();

  const seen = observed();
  const target = arrayOptimizer(
    heavyBall({ momentum: 0.5 }),
    { a: new Float32Array(2), b: new Float32Array(2) },
    seen,
  );
  const before = await target.stateDict();
  // The state has two buffers and two pending gradients: there is memory for three of the four.
  seen.room = 3;
  expect(() => target.prepareLoad(state)).toThrow("out of memory");
  expect(seen.live).toBe(0);
  expect(await target.stateDict()).toEqual(before);
  // Nothing is left staged either: with memory, the same load succeeds.
  delete seen.room;
  target.prepareLoad(state).commit();
  expect(await target.stateDict()).toEqual(state);
});

test("no group is added while a load is prepared", async () => {
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  const prepared = optimizer.prepareLoad(await optimizer.stateDict());
  const add = (): void => optimizer.addParamGroup({ params: { v: new Float32Array(1) } });
  expect(add).toThrowError(expect.objectContaining({ code: "load-pending" }));
  expect(optimizer.parameters).toHaveLength(1);
  prepared.dispose();
  add();
  expect(optimizer.parameters).toHaveLength(2);
});

test("an optimizer refuses a loss scaler of another backend at the call", () => {
  const w = new Float32Array(1);
  const optimizer = arrayOptimizer(descent(), { w });
  const foreign: LossScaler = arrayOptimizer(
    descent(),
    { w: new Float32Array(1) },
    observed(),
    "others",
  ).createLossScaler("dynamic");
  const backward = (): unknown => optimizer.backward(gradients({ w: [1] }), { lossScaler: foreign });
  expect(backward).toThrowError(expect.objectContaining({ code: "invalid-option" }));
  expect(w[0]).toBe(0);
});

test("a group without a record of parameters is refused by its place", () => {
  const groups = [{ params: { w: new Float32Array(1) } }, { params: undefined }] as never;
  expect(() => arrayOptimizer(descent(), groups)).toThrowError(
    expect.objectContaining({
      code: "invalid-parameter",
      message: expect.stringContaining("groups[1]") as string,
    }),
  );
});

interface SwitchHyperparameters {
  lr: number;
  signed: boolean;
}

test("a rule that needs an operation that the backend lacks is refused by its name", () => {
  const rule: UpdateRuleFactory<SwitchHyperparameters> = defineUpdateRule({
    name: "Switch",
    hyperparameters: { lr: 1, signed: false },
    update: ({ param, grad }, { lr }, { signed }) => ({
      // sqrt(lr) is a scalar: core computes it, whatever the kernels know.
      param: sub(param, mul(sqrt(lr), signed ? sign(grad) : grad)),
    }),
  });
  const seen = { ...observed(), operations: new Set(["mul", "sub"]) };
  const refused = expect.objectContaining({
    code: "unsupported",
    received: "sign",
    message: expect.stringContaining("Switch") as string,
  }) as Error;
  expect(() => arrayOptimizer(rule({ signed: true }), { w: new Float32Array(1) }, seen)).toThrowError(
    refused,
  );
  const optimizer = arrayOptimizer(rule(), { w: new Float32Array(1) }, seen);
  const [group] = optimizer.paramGroups;
  expect(() => {
    group.signed = true;
  }).toThrowError(refused);
  expect(group.signed).toBe(false);
});

test("hyperparameters that were not saved keep what the program gave them; groups of one name are refused", async () => {
  const optimizer = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w: new Float32Array(1) });
  const state = await optimizer.stateDict();
  const [group] = state.groups;
  const twice = { ...state, groups: [group, group] } as typeof state;
  expect(await refusal(() => optimizer.prepareLoad(twice))).toMatchObject({
    code: "state-mismatch",
    mismatched: expect.arrayContaining([expect.stringContaining("2 saved, 1 here")]) as string[],
  });
  expect(await optimizer.stateDict()).toEqual(state);
  const without = { ...state, groups: [{ ...group, hyperparameters: { lr: 2 } }] } as typeof state;
  expect(optimizer.prepareLoad(without).commit()).toEqual({
    missing: [],
    unexpected: [],
    changed: ['group "0".lr'],
    defaulted: ['group "0".momentum'],
  });
  expect(optimizer.paramGroups[0]).toMatchObject({ lr: 2, momentum: 0.5 });
});

test.each<[string, object]>([
  ["rescale", { rescale: Number.NaN }],
  ["clipGrad.maxNorm", { clipGrad: { maxNorm: Number.NaN } }],
  ["clipGrad.clipValue", { clipGrad: { type: "value", clipValue: 0 } }],
  ["onNonFinite", { onNonFinite: "ignore" }],
  ["a name", { clip: 1 }],
])("a step by hand, of the optimizer itself, with a wrong %s changes nothing", (_, options) => {
  const w = new Float32Array(2);
  const optimizer = arrayOptimizer(descent(), { w });
  expect(() => optimizer.backward(gradients({ w: [1, 2] }), options)).toThrowError(
    expect.objectContaining({ code: "unknown-option" }),
  );
  optimizer.backward(gradients({ w: [1, 2] }));
  const refused = "clip" in options ? "unknown-option" : "invalid-option";
  expect(() => optimizer.step(options)).toThrowError(expect.objectContaining({ code: refused }));
  expect([...w]).toEqual([0, 0]);
  optimizer.step();
  expect([...w]).toEqual([-1, -2]);
});
