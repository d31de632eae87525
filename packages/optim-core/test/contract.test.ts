import { runInNewContext } from "node:vm";
import { createOptimWrapper, type Optimizer, type OptimWrapperStateDict } from "@mm/optim-core";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, heavyBall, type LossClosure } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

const optimizer = () => arrayOptimizer(heavyBall({ momentum: 0.5 }), { w: new Float32Array(2) });

test.each([undefined, 0, 2, "1"])(
  "an optimizer of contract %j is refused, and both versions are named",
  async (contract) => {
    const other = Object.create(optimizer(), { contract: { value: contract } }) as Optimizer<
      LossClosure,
      number
    >;
    const error = await refusal(() => createOptimWrapper(other));
    expect(error.code).toBe("contract-mismatch");
    expect(error.message).toContain("expected version 1 of the contract");
    expect(error.received).toBe(contract);
  },
);

test.each<[string, unknown, string]>([
  ["a rule", descent(), "Give the rule its parameters first"],
  ["what makes a rule", descent, "Call what makes it"],
  ["a tf.Optimizer", { applyGradients() {}, minimize() {} }, "Give a tf.Optimizer its variables first"],
  ["a wrapper", createOptimWrapper(optimizer()), "It is a wrapper already"],
  ["nothing", undefined, "expected an optimizer, got undefined"],
])("%s in the place of an optimizer: what to do is said", async (_, given, hint) => {
  const error = await refusal(() => createOptimWrapper(given as Optimizer<LossClosure, number>));
  expect(error.code).toBe("invalid-option");
  expect(error.message).toContain(hint);
});

test("a state that was made in another realm loads", async () => {
  const source = createOptimWrapper(optimizer(), { accumulativeCounts: 2 });
  for (const step of [1, 2, 3]) source.updateParams(gradients({ w: [step, -step] }));
  const state = await source.stateDict();
  const foreign = runInNewContext(
    `(function copy(value, tensors) {
      if (ArrayBuffer.isView(value)) return new Float32Array(Array.from(value));
      if (Array.isArray(value)) return Array.from(value, copy);
      if (Object(value) === value) {
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]));
      }
      return value;
    })`,
  ) as (value: unknown) => OptimWrapperStateDict;
  const copy = foreign(state);
  expect(copy.optimizer.params[0]?.slots["buffer"]).not.toBeInstanceOf(Float32Array);
  const target = createOptimWrapper(optimizer(), { accumulativeCounts: 2 });
  await target.loadStateDict(copy);
  expect(await target.stateDict()).toEqual(state);
});

test("a step-0 state without hyperparameters leaves a rule with scalar slots whole", async () => {
  const { defineUpdateRule, add, mul, sub } = await import("@mm/optim-core/rule");
  // θ ← θ − η(1 + c)g, c counting the steps.
  const counting = defineUpdateRule({
    name: "Counting",
    hyperparameters: { lr: 1 },
    scalarSlots: () => ({ count: 0 }),
    update: ({ param, grad, count }, { lr }) => ({
      param: sub(param, mul(mul(lr, add(count, 1)), grad)),
      count: add(count, 1),
    }),
  });
  const w = new Float32Array(1);
  const trained = arrayOptimizer(counting(), { w });
  const fresh = await trained.stateDict();
  const step = (): void => {
    trained.zeroGrad();
    trained.backward(gradients({ w: [1] }));
    trained.step();
  };
  step();
  step();
  expect(w[0]).toBe(-3);
  trained.prepareLoad(fresh, { restore: { hyperparameters: false } }).commit();
  step();
  expect(w[0]).toBe(-4);
});
