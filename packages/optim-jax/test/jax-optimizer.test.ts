import { numpy as np } from "@jax-js/jax";
import { createOptimWrapper } from "@mm/optim-core";
import { jaxOptimizer, Variable } from "@mm/optim-jax";
import { adam, sgd } from "@mm/optim-rules";
import { expect, test, vi } from "vitest";
import { variableOf } from "./factory.ts";
import { twoRanks } from "./two-ranks.ts";
import { testVariables } from "./variables.ts";

testVariables("wasm");
testVariables("cpu");

/** References to the array that a variable holds, its own included. */
function referencesOf(variable: Variable): number {
  const array = variable.read();
  array.dispose();
  return array.refCount;
}

test("a loss that throws leaves no reference", () => {
  const w = variableOf("wasm", 1, 2);
  const optimizer = jaxOptimizer(sgd(), { w });
  expect(() =>
    optimizer.backward((at) => {
      // Recorded for the backward pass, which never comes.
      at(w).mul(at(w)).sum();
      throw new Error("from the closure");
    }),
  ).toThrow("from the closure");
  expect(referencesOf(w)).toBe(1);
});

test("10,000 updates do not grow jax-js's memory, nor the kernels'", () => {
  const w = new Variable(np.ones([33], { device: "wasm" }));
  const optim = createOptimWrapper(jaxOptimizer(adam(), { w }), {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 1 },
    lossScale: "dynamic",
  });
  const run = (updates: number): void => {
    for (let i = 0; i < updates; i += 1) optim.updateParams((at) => at(w).sum());
  };
  run(100);
  // A leaked array takes 192 bytes there, and 9,900 of them 1.9 MB; a memory grows by pages of 64 KiB.
  const grow = vi.spyOn(WebAssembly.Memory.prototype, "grow");
  run(9_900);
  expect(grow).not.toHaveBeenCalled();
  grow.mockRestore();
  expect(referencesOf(w)).toBe(1);
});

test("a step copies a variable out, and not in", () => {
  const w = new Variable(np.zeros([1000], { device: "wasm" }));
  const optimizer = jaxOptimizer(adam(), { w });
  const step = (): void => {
    optimizer.writeGradients({ w: new Float32Array(1000).fill(1) });
    optimizer.step();
  };
  step();
  const read = vi.spyOn(np.Array.prototype, "dataSync");
  step();
  expect(read).not.toHaveBeenCalled();
  read.mockRestore();
});

test("two ranks, clipped, with a dynamic scale: as one process on the whole batch", async () => {
  const { difference, largest } = await twoRanks("wasm");
  expect(difference).toBeLessThanOrEqual(1e-6);
  expect(largest).toBeGreaterThan(0.5);
});
