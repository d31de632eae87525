import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { wasmOptimizer } from "@mm/optim-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, expect, test } from "vitest";
import { tfjsOptimizer } from "../src/index.ts";
import { use } from "./backends.ts";

const gradients = [
  [0.5, -1, 2, 0.25, -0.125, 1],
  [-2, 1, 0.5, 1, 0.75, -1],
  [1, 1, -1, -0.5, 0.25, 2],
] as const;
const rule = adamw({ lr: 0.1 });

beforeAll(() => use({ backend: "cpu" }));

// Both run the same kernels, so the run goes on to the bit: a difference would be one of state.
test("a run moves from shaped variables to flat arrays and back as if nothing had happened", async () => {
  const w = tf.variable(tf.ones([3, 2]));
  const onTfjs = createOptimWrapper(tfjsOptimizer(rule, { w }));
  const flat = new Float32Array(6).fill(1);
  const onWasm = createOptimWrapper(wasmOptimizer(rule, { w: flat }));
  const through = new Float32Array(6).fill(1);
  const throughout = createOptimWrapper(wasmOptimizer(rule, { w: through }));
  const stepTfjs = (gradient: readonly number[]) =>
    onTfjs.updateParams(() => tf.sum(tf.mul(w, tf.tensor2d([...gradient], [3, 2]))));
  const stepWasm = (wrapper: typeof onWasm, gradient: readonly number[]) =>
    wrapper.updateParams(({ grad, scale }) => {
      grad("w").set(gradient.map((element) => element * scale));
      return 0;
    });
  for (const gradient of gradients) stepWasm(throughout, gradient);

  stepTfjs(gradients[0]);
  await onWasm.loadStateDict(await onTfjs.stateDict());
  flat.set(w.dataSync());
  stepWasm(onWasm, gradients[1]);
  await onTfjs.loadStateDict(await onWasm.stateDict());
  onTfjs.optimizer.writeParameters({ w: flat });
  stepTfjs(gradients[2]);
  expect([...w.dataSync()]).toEqual([...through]);

  for (const wrapper of [onTfjs, onWasm, throughout]) wrapper.dispose();
  w.dispose();
});

test("a shape that is neither the same nor flat is refused", async () => {
  const [tall, wide] = [tf.variable(tf.ones([3, 2])), tf.variable(tf.ones([2, 3]))];
  const from = tfjsOptimizer(rule, { w: tall });
  const to = tfjsOptimizer(rule, { w: wide });
  await expect(from.stateDict().then((state) => to.prepareLoad(state))).rejects.toMatchObject({
    code: "state-mismatch",
    mismatched: [expect.stringContaining("w: shape")],
  });
  from.dispose();
  to.dispose();
  tf.dispose([tall, wide]);
});
