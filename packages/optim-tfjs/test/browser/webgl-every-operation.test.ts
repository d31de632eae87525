import type { OptimWrapperOptions } from "@mm/optim-core";
import { createOptimWrapper } from "@mm/optim-core";
import { defineUpdateRule, div, sqrt, sub } from "@mm/optim-core/rule";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import "@tensorflow/tfjs-backend-webgl";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import { distance } from "../../../../test-support/numbers.ts";
import { linearLoss, use } from "../backends.ts";
import { orthogonalizing, reducing, type Trained, trainBoth } from "../every-operation.ts";

beforeAll(() => use({ backend: "webgl" }));

const rules = [
  // Sums of float32 in the order of shaders: relative errors of some 1e-6 of what is at most 10 here, in six steps of 0.1.
  ["every reduction, slots per row and per column", reducing(), 1e-5],
  // 1e-4 for five Newton–Schulz steps, in six steps of 0.1.
  ["orthogonalized matrices", orthogonalizing(), 6e-5],
] as const;

const settings: readonly (readonly [string, OptimWrapperOptions, number | undefined])[] = [
  ["plain", {}, undefined],
  ["clipped by norm", { clipGrad: { maxNorm: 3 } }, undefined],
  ["a dynamic loss scale, steps skipped", { lossScale: { growthInterval: 2 } }, 3],
];

describe.each(rules)("%s", (_, rule, bound) => {
  test.each(settings)("%s", async (__, options, nanEvery) => {
    const [ours, reference] = await trainBoth(rule, options, nanEvery === undefined ? {} : { nanEvery });
    for (const [name, expected] of Object.entries(reference.parameters))
      expect(distance(ours.parameters[name]!, expected)).toBeLessThanOrEqual(bound);
    for (const [index, { slots }] of reference.state.optimizer.params.entries()) {
      for (const [slot, expected] of Object.entries(slots))
        expect(distance(ours.state.optimizer.params[index]!.slots[slot]!, expected)).toBeLessThanOrEqual(
          bound,
        );
    }
    const steps = ({ state }: Trained): number[] => state.optimizer.params.map(({ step }) => step);
    expect(steps(ours)).toEqual(steps(reference));
    expect(ours.state.lossScaler).toEqual(reference.state.lossScaler);
  });
});

test("a rule of one pass that reads the size of its tensor runs by ops, each tensor with its own", async () => {
  const rule = defineUpdateRule({
    name: "BySize",
    hyperparameters: { lr: 1 },
    update: ({ param, grad, size }) => ({ param: sub(param, div(grad, sqrt(size))) }),
  });
  const variables = { four: tf.variable(tf.zeros([2, 2])), nine: tf.variable(tf.zeros([9])) };
  const wrapper = createOptimWrapper(tfjsOptimizer(rule(), variables));
  const gradients = { four: Array<number>(4).fill(6), nine: Array<number>(9).fill(6) };
  wrapper.updateParams(linearLoss(variables, gradients));
  // 6 ÷ 2 and 6 ÷ 3.
  expect([...(await variables.four.data())]).toEqual(Array(4).fill(-3));
  expect([...(await variables.nine.data())]).toEqual(Array(9).fill(-2));
  wrapper.dispose();
  tf.dispose(variables);
});

test("a group may take a list of elements as a matrix", async () => {
  const w = tf.variable(tf.zeros([6]));
  const rule = defineUpdateRule({
    name: "Plain",
    hyperparameters: { lr: 1 },
    update: ({ param, grad }) => ({ param: sub(param, grad) }),
  });
  const wrapper = createOptimWrapper(tfjsOptimizer(rule(), [{ params: { w }, shapes: { w: [2, 3] } }]));
  wrapper.updateParams(linearLoss({ w }, { w: [1, 2, 3, 4, 5, 6] }));
  expect([...(await w.data())]).toEqual([-1, -2, -3, -4, -5, -6]);
  expect(w.shape).toEqual([6]);
  wrapper.dispose();
  w.dispose();
});
