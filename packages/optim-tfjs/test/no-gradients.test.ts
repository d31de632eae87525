import "@tensorflow/tfjs-backend-cpu";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

test("a loss of custom gradients alone needs none registered", async () => {
  tf.enableProdMode();
  await tf.setBackend("cpu");
  const w = tf.variable(tf.ones([2]));
  const sum = tf.customGrad((x) => ({
    value: tf.sum(x as tf.Tensor),
    gradFunc: (dy) => tf.broadcastTo(dy, [2]),
  }));
  const optimizer = tfjsOptimizer(adam(), { w });
  const loss = optimizer.backward(() => sum(w) as tf.Scalar, { returnLoss: true });
  expect(loss?.dataSync()[0]).toBe(2);
  expect((await optimizer.readGradients())["w"]).toEqual(Float32Array.of(1, 1));
});

// In a file of its own: here nothing has registered gradients.
test("tfjs-core alone has no gradients: the error names the import", async () => {
  tf.enableProdMode();
  await tf.setBackend("cpu");
  const w = tf.variable(tf.ones([2]));
  const optimizer = tfjsOptimizer(adam(), { w });
  const before = tf.memory().numTensors;
  const error = thrownBy(() => optimizer.backward(() => tf.sum(tf.square(w))));
  expect(error.code).toBe("no-gradient");
  expect(error.message).toContain('import "@tensorflow/tfjs-layers"');
  expect((error.cause as Error).message).toContain("gradient function not found");
  expect(tf.memory().numTensors).toBe(before);
});
