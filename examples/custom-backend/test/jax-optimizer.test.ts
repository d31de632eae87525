import { numpy as np } from "@jax-js/jax";
import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { expect, test, vi } from "vitest";
import { jaxOptimizer } from "../src/jax-optimizer.ts";
import { arrayOf, dataOf, Variable } from "../src/variable.ts";

const variable = (...values: number[]): Variable =>
  new Variable(arrayOf(Float32Array.from(values), [values.length]));
const valuesOf = ({ array }: Variable): number[] => [...dataOf(array.ref)];

test("a step goes against the gradient that jax-js finds", () => {
  const [w, b] = [variable(1, 2), variable(3)];
  const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.5 }), { w, b }));
  // L = Σw³ + b²: gradients 3w² = (3, 12) and 2b = 6
  optim.updateParams((at) =>
    at(w)
      .mul(at(w))
      .mul(at(w))
      .sum()
      .add(at(b).mul(at(b)).sum()),
  );
  expect(valuesOf(w)).toEqual([1 - 0.5 * 3, 2 - 0.5 * 12]);
  expect(valuesOf(b)).toEqual([3 - 0.5 * 6]);
});

test("variables of another optimizer, and frozen ones, are constants to a loss", async () => {
  const [ours, theirs, frozen] = [variable(2), variable(3), variable(5)];
  const optimizer = jaxOptimizer(sgd({ lr: 1 }), { ours, frozen });
  optimizer.freeze(["frozen"]);
  // L = ours·theirs·frozen
  optimizer.backward((at) => at(ours).mul(at(theirs)).mul(at(frozen)).sum());
  expect(await optimizer.readGradients()).toEqual({ ours: Float32Array.of(15) });
});

test("a loss that reads no variable is refused", () => {
  const w = variable(1);
  const optimizer = jaxOptimizer(sgd(), { w });
  expect(() => optimizer.backward(() => w.array.ref.sum())).toThrow(
    expect.objectContaining({ code: "no-gradient" }),
  );
  expect(w.array.refCount).toBe(1);
});

test.each([
  ["a vector", (at: (w: Variable) => np.Array, w: Variable) => at(w)],
  ["whole numbers", (at: (w: Variable) => np.Array, w: Variable) => at(w).sum().astype(np.int32)],
])("a loss of %s is refused, and leaves no reference", (_, loss) => {
  const w = variable(1, 2);
  const optimizer = jaxOptimizer(sgd(), { w });
  expect(() => optimizer.backward((at) => loss(at, w))).toThrow(
    expect.objectContaining({ code: "invalid-loss" }),
  );
  expect(w.array.refCount).toBe(1);
});

test("a loss that throws leaves no reference", () => {
  const w = variable(1, 2);
  const optimizer = jaxOptimizer(sgd(), { w });
  expect(() =>
    optimizer.backward((at) => {
      // Recorded for the backward pass, which never comes.
      at(w).mul(at(w)).sum();
      throw new Error("from the closure");
    }),
  ).toThrow("from the closure");
  expect(w.array.refCount).toBe(1);
});

test("a disposed variable, and one of another dtype, are refused", () => {
  const disposed = variable(1);
  disposed.dispose();
  const whole = new Variable(np.array([1, 2], { dtype: np.int32 }));
  for (const w of [disposed, whole]) {
    expect(() => jaxOptimizer(sgd(), { w })).toThrow(expect.objectContaining({ code: "invalid-parameter" }));
  }
});

test("training does not grow jax-js's memory", () => {
  const w = new Variable(arrayOf(new Float32Array(1 << 16).fill(0.5), [1 << 16]));
  const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.1 }), { w }), { accumulativeCounts: 2 });
  const step = (): void => {
    optim.updateParams((at) => at(w).mul(at(w)).sum());
  };
  for (let i = 0; i < 10; i += 1) step();
  // 256 KiB a leaked array; a WebAssembly memory grows by pages of 64.
  const grow = vi.spyOn(WebAssembly.Memory.prototype, "grow");
  for (let i = 0; i < 100; i += 1) step();
  expect(grow).not.toHaveBeenCalled();
  expect(w.array.refCount).toBe(1);
  grow.mockRestore();
});
