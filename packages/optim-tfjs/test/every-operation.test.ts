import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { allOperations, operationsOf, traceRule } from "@mm/optim-core/backend";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { distance } from "../../../test-support/numbers.ts";
import { paths, use } from "./backends.ts";
import { orthogonalizing, reducing, shapes, type Trained, trainBoth } from "./every-operation.ts";

const rules = [
  // Relative errors of float32 sums, some 1e-6 of what is at most 10 here, in six steps of 0.1.
  ["every reduction, slots per row and per column", reducing(), 1e-5],
  // 1e-4 for five Newton–Schulz steps, in six steps of 0.1.
  ["orthogonalized matrices", orthogonalizing(), 6e-5],
] as const;

const settings: readonly (readonly [string, OptimWrapperOptions, number | undefined])[] = [
  ["plain", {}, undefined],
  ["windows of 2", { accumulativeCounts: 2 }, undefined],
  ["clipped by norm", { clipGrad: { maxNorm: 3 } }, undefined],
  ["a dynamic loss scale, steps skipped", { lossScale: { growthInterval: 2 } }, 3],
];

function largestDistance(found: Trained, expected: Trained): number {
  let worst = 0;
  const compare = (a: Float32Array, b: Float32Array): void => {
    // NaN is at no distance that is smaller.
    const apart = distance(a, b);
    worst = Number.isNaN(apart) ? apart : Math.max(worst, apart);
  };
  for (const [name, values] of Object.entries(expected.parameters)) compare(found.parameters[name]!, values);
  for (const [index, { slots }] of expected.state.optimizer.params.entries()) {
    for (const [slot, values] of Object.entries(slots))
      compare(found.state.optimizer.params[index]!.slots[slot]!, values);
  }
  return worst;
}

test("the two rules have every operation of the rule language that has no scalar operands", () => {
  const plain = { clipValue: false, zeroNonFinite: false };
  const found = [reducing(), orthogonalizing()].flatMap(({ definition }) => [
    ...operationsOf(traceRule(definition, { matrix: true }, plain, true)),
  ]);
  expect([...new Set(found)].sort()).toEqual([...allOperations].sort());
});

describe.each(paths)("$name", (path) => {
  describe.each(rules)("%s", (_, rule, bound) => {
    test.each(settings)("%s", async (__, options, nanEvery) => {
      await use(path);
      const ways = { ...path.options, ...(nanEvery !== undefined && { nanEvery }) };
      const [ours, reference] = await trainBoth(rule, options, ways);
      // In place: none, in no bit.
      expect(largestDistance(ours, reference)).toBeLessThanOrEqual(path.inPlace ? 0 : bound);
      const steps = ({ state }: Trained): number[] => state.optimizer.params.map(({ step }) => step);
      expect(steps(ours)).toEqual(steps(reference));
      expect(ours.state.lossScaler).toEqual(reference.state.lossScaler);
    });
  });

  test.each(rules)("%s: tensors and bytes stay where they are, and dispose frees them", async (_, rule) => {
    await use(path);
    const usage = (): object => ({ tensors: tf.memory().numTensors, bytes: tf.memory().numBytes });
    const variables = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, tf.variable(tf.ones(shape))]),
    );
    const begun = usage();
    const wrapper = createOptimWrapper(tfjsOptimizer(rule, variables, path.options), {
      lossScale: { growthInterval: 2 },
      clipGrad: { maxNorm: 1 },
    });
    const loss = (factor: number) => (): tf.Scalar =>
      Object.values(variables)
        .map((variable): tf.Scalar => tf.mul(tf.sum(tf.square(variable)), factor))
        .reduce((a, b) => tf.add(a, b));
    for (let step = 0; step < 3; step += 1) wrapper.updateParams(loss(1));
    const before = usage();
    for (let step = 0; step < 20; step += 1) {
      wrapper.updateParams(loss(step % 7 === 3 ? Number.NaN : 1));
      expect(usage()).toEqual(before);
    }
    await wrapper.loadStateDict(await wrapper.stateDict());
    for (let step = 0; step < 2; step += 1) wrapper.updateParams(loss(1));
    expect(usage()).toEqual(before);
    wrapper.dispose();
    expect(usage()).toEqual(begun);
    tf.dispose(variables);
  });
});
