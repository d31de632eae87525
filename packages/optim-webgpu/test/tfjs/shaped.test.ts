import { createOptimWrapper } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, expect, test } from "vitest";
import { arrayOptimizer } from "../../../../test-support/array-optimizer.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { largestDifference } from "../support/beside-reference.ts";
import { adafactor, muon } from "../support/shaped-rules.ts";
import { useTfjs } from "../support/tfjs.ts";

beforeAll(useTfjs);

/** Of a square matrix it does not matter which dimension counts the outputs, but to what is per row. */
test.each([
  ["Muon", muon({ lr: 0.25 }) as UpdateRule],
  ["Adafactor", adafactor() as UpdateRule],
])("%s on variables of tfjs as in the reference", async (_, rule) => {
  const random = randomNumbers(6);
  const side = 21;
  const [start, gradient] = [ordinaryArray(random, side * side), ordinaryArray(random, side * side)];
  const w = tf.variable(tf.tensor2d(start.slice(), [side, side]));
  const factor = tf.tensor2d(gradient, [side, side]);
  const expected = start.slice();
  const mine = createOptimWrapper(tfjsOptimizer(rule, { w }));
  const reference = createOptimWrapper(
    arrayOptimizer(rule, [{ params: { w: expected }, shapes: { w: [side, side] } }] as never),
  );
  for (let update = 0; update < 3; update += 1) {
    mine.updateParams(() => tf.sum(tf.mul(w, factor)) as tf.Scalar);
    reference.updateParams((() => ({ w: gradient })) as never);
  }
  // As on buffers. Adafactor's estimate, rowVar·colVar ÷ mean, is the same of the transposed matrix but for rounding.
  expect(largestDifference(await w.data(), expected)).toBeLessThanOrEqual(1e-5);
  mine.dispose();
});
