import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { linearLoss, paths, use } from "./backends.ts";

const bfloat16 = { slotDtype: "bfloat16" } as const;

test("on tfjs's heap slots in bfloat16 are tensors of half the bytes", async () => {
  await use({ backend: "wasm" });
  const bytes = (options: object): number => {
    const w = tf.variable(tf.zeros([100, 10]));
    const before = tf.memory().numBytes;
    const optim = createOptimWrapper(tfjsOptimizer(adamw(), { w }, options));
    optim.updateParams(linearLoss({ w }, { w: new Float32Array(1000).fill(1) }));
    const kept = tf.memory().numBytes - before;
    optim.dispose();
    w.dispose();
    return kept;
  };
  // Two slots of 1000 elements: 2 bytes less of each.
  expect(bytes({}) - bytes(bfloat16)).toBe(2 * 1000 * 2);
});

test.each(paths.filter(({ inPlace }) => !inPlace))("$name: refuses them by name", async (path) => {
  await use(path);
  const w = tf.variable(tf.zeros([4]));
  const before = tf.memory().numTensors;
  const error = thrownBy(() => tfjsOptimizer(adamw(), { w }, { ...path.options, ...bfloat16 }));
  expect(error).toMatchObject({ code: "unsupported", received: "bfloat16" });
  expect(error.message).toMatch(/^tfjsOptimizer: slotDtype: /);
  expect(tf.memory().numTensors).toBe(before);
  expect(tfjsOptimizer(adamw(), { w }, path.options).capabilities.slotDtypes).toBeUndefined();
  w.dispose();
});

test("a tf.Optimizer has slots of its own", async () => {
  await use({ backend: "cpu" });
  const w = tf.variable(tf.zeros([4]));
  const wrapped = tfjsOptimizer as (...given: readonly unknown[]) => unknown;
  expect(thrownBy(() => wrapped(tf.train.adam(), { w }, bfloat16)).code).toBe("unsupported");
  w.dispose();
});
