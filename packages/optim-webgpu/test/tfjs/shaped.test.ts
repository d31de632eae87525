import { createOptimWrapper } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import { norMuon } from "@mm/optim-rules";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, expect, test } from "vitest";
import { arrayOptimizer } from "../../../../test-support/array-optimizer.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { largestDifference } from "../support/beside-reference.ts";
import { adafactor, muon } from "../support/shaped-rules.ts";
import { useTfjs } from "../support/tfjs.ts";

beforeAll(useTfjs);

/** A kernel of a dense layer is [inputs, outputs] in tfjs; a rule sees outputs by inputs, as the reference's arrays have it. */
const [inputs, outputs] = [12, 30];

const transposed = (values: Float32Array): Float32Array =>
  Float32Array.from(values, (_, at) => values[(at % inputs) * outputs + Math.floor(at / inputs)]!);

test.each([
  ["Muon", muon({ lr: 0.25 }) as UpdateRule],
  ["Adafactor", adafactor() as UpdateRule],
  ["NorMuon", norMuon({ lr: 0.25 }) as UpdateRule],
])("%s on variables of tfjs as in the reference", async (_, rule) => {
  const random = randomNumbers(6);
  const [start, gradient] = [
    ordinaryArray(random, inputs * outputs),
    ordinaryArray(random, inputs * outputs),
  ];
  const w = tf.variable(tf.tensor2d(start.slice(), [inputs, outputs]));
  const factor = tf.tensor2d(gradient, [inputs, outputs]);
  const expected = transposed(start);
  const mine = createOptimWrapper(tfjsOptimizer(rule, { w }));
  const reference = createOptimWrapper(
    arrayOptimizer(rule, [{ params: { w: expected }, shapes: { w: [outputs, inputs] } }]),
  );
  for (let update = 0; update < 3; update += 1) {
    mine.updateParams(() => tf.sum<tf.Scalar>(tf.mul(w, factor)));
    reference.updateParams(() => ({ w: transposed(gradient) }));
  }
  // As on buffers.
  expect(largestDifference(transposed((await w.data()) as Float32Array), expected)).toBeLessThanOrEqual(1e-5);
  const [found, wanted] = await Promise.all([mine.optimizer.stateDict(), reference.optimizer.stateDict()]);
  for (const slot of ["rowVar", "colVar"]) {
    const [own, others] = [found.params[0]!.slots[slot], wanted.params[0]!.slots[slot]];
    expect(largestDifference(own ?? [], others ?? [])).toBeLessThanOrEqual(1e-5);
  }
  mine.dispose();
});
