import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adam, nadam } from "@mm/optim-rules";
import { tfjsOptimizer, type TfjsOptimizerOptions } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import { use } from "../backends.ts";
import { type Calls, glCalls } from "./webgl-support.ts";

beforeAll(() => use({ backend: "webgl" }));

/** Kernels and biases of a network, n variables in all. */
function network(n: number) {
  const variables = Object.fromEntries(
    Array.from({ length: n }, (_, index) => [
      `v${index}`,
      tf.variable(tf.ones(index % 2 === 0 ? [30 + index, 20] : [20])),
    ]),
  );
  const loss = (): tf.Scalar => tf.addN(Object.values(variables).map((v) => tf.sum(tf.square(v))));
  return { variables, loss };
}

interface Counted {
  readonly backward: Calls;
  readonly step: Calls;
  /** All of an update, which takes the loss scaler further too. */
  readonly update: Calls;
}

/** The calls of a warm update over n variables. */
function warm(
  n: number,
  options: OptimWrapperOptions,
  rule: UpdateRule = adam(),
  given: TfjsOptimizerOptions = {},
): Counted {
  const { variables, loss } = network(n);
  const wrapper = createOptimWrapper(tfjsOptimizer(rule, variables, given), options);
  for (let update = 0; update < 4 * wrapper.accumulativeCounts; update += 1) wrapper.updateParams(loss);
  const update = glCalls(() => wrapper.updateParams(loss));
  for (let rest = 1; rest < wrapper.accumulativeCounts; rest += 1) wrapper.updateParams(loss);
  const backward = glCalls(() => wrapper.backward(loss));
  const step = glCalls(() => wrapper.step());
  wrapper.dispose();
  tf.dispose(variables);
  return { backward, step, update };
}

const nothingElse = { links: 0, uploads: 0, allocations: 0, reads: 0 };

describe("a warm step of Adam over n variables", () => {
  test.each([2, 6])("%i: one draw each, and nothing else", (n) => {
    expect(warm(n, {}).step).toEqual({ draws: n, ...nothingElse });
  });

  test("many small variables with step counts of their own are draws all the same", () => {
    expect(warm(40, {}).step).toEqual({ draws: 40, ...nothingElse });
  });

  test.each<readonly [string, OptimWrapperOptions]>([
    ["clipped by norm", { clipGrad: { maxNorm: 1 } }],
    ["a dynamic loss scale", { lossScale: "dynamic" }],
    ["a dynamic loss scale, clipped by norm", { lossScale: "dynamic", clipGrad: { maxNorm: 1 } }],
    [
      "the same, an error where it is not finite",
      { lossScale: "dynamic", clipGrad: { maxNorm: 1, errorIfNonfinite: true } },
    ],
    ["skipping", { onNonFinite: "skip" }],
  ])("%s: n to measure, one to fold, one to decide, n to update", (_, options) => {
    for (const n of [2, 6]) {
      const { step, backward, update } = warm(n, options);
      expect(step).toEqual({ draws: 2 * n + 2, ...nothingElse });
      // The loss scaler went on in the same draw.
      expect(update.draws).toBe(backward.draws + step.draws);
      expect(update.reads + update.allocations + update.links).toBe(0);
    }
  });

  test("scalars that a rule keeps for each parameter are decided together", () => {
    expect(warm(6, { lossScale: "dynamic" }, nadam()).step).toEqual({ draws: 14, ...nothingElse });
  });

  test("clipped by value: nothing to measure", () => {
    expect(warm(4, { clipGrad: { type: "value", clipValue: 1 } }).step.draws).toBe(4);
  });

  test("by ops: what is drawn at once here takes at least twelve times as many", () => {
    const [ops, drawn] = [warm(4, {}, adam(), { lowering: "ops" }), warm(4, {})];
    expect(ops.step.draws).toBeGreaterThanOrEqual(12 * drawn.step.draws);
    // Numbers are uploaded once a step, however many variables share them.
    expect(warm(8, {}, adam(), { lowering: "ops" }).step.uploads).toBe(ops.step.uploads);
  });
});

test("a backward adds to what is pending in a draw each; the first in a window takes the gradient as it is", () => {
  const { variables, loss } = network(4);
  const wrapper = createOptimWrapper(tfjsOptimizer(adam(), variables), { accumulativeCounts: 3 });
  for (let update = 0; update < 6; update += 1) wrapper.updateParams(loss);
  const [first, second, third] = [1, 2, 3].map(() => glCalls(() => wrapper.updateParams(loss)).draws) as [
    number,
    number,
    number,
  ];
  expect(second - first).toBe(4);
  // The third ends the window: 4 to add, and 4 to update.
  expect(third - first).toBe(8);
  wrapper.dispose();
  tf.dispose(variables);
});

test("programs are linked for a combination of layouts, not for a shape", () => {
  const shapes = [
    [3],
    [5],
    [100],
    [7, 9],
    [20, 30],
    [64, 10],
    [3, 3, 4, 8],
    [2, 5, 5],
    [1, 1],
    [2000],
    [11, 13],
    [1],
  ];
  const variables = Object.fromEntries(
    shapes.map((shape, index) => [`v${index}`, tf.variable(tf.fill(shape, 0.5))]),
  );
  // Its backward pass links programs of tfjs's own, for each shape: they are there when the step comes.
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ eps: 1.25e-6 }), variables));
  wrapper.backward(() => tf.addN(Object.values(variables).map((v) => tf.sum(tf.square(v)))));
  const { links } = glCalls(() => wrapper.step());
  // Gradients packed or flat, and slots, which tfjs has filled.
  expect(links).toBeLessThanOrEqual(4);
  wrapper.dispose();
  tf.dispose(variables);
});
