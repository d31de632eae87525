import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { tapeOptimizer } from "../src/tape-optimizer.ts";
import { add, logSoftmax, matmul, multiply, sum, tanh, Tensor } from "../src/tensor.ts";

const tensor = (...values: number[]): Tensor => new Tensor(values, [values.length]);

test("a step goes against the gradient that the library finds", () => {
  const [w, b] = [tensor(1, 2), tensor(3)];
  const optim = createOptimWrapper(tapeOptimizer(sgd({ lr: 0.5 }), { w, b }));
  // L = Σw³ + b²: gradients 3w² = (3, 12) and 2b = 6
  optim.updateParams(() => add(sum(multiply(multiply(w, w), w)), sum(multiply(b, b))));
  expect(w.values).toEqual([1 - 0.5 * 3, 2 - 0.5 * 12]);
  expect(b.values).toEqual([3 - 0.5 * 6]);
});

test("tensors of another optimizer, and frozen ones, are constants to a loss", async () => {
  const [ours, theirs, frozen] = [tensor(2), tensor(3), tensor(5)];
  const optimizer = tapeOptimizer(sgd({ lr: 1 }), { ours, frozen });
  optimizer.freeze(["frozen"]);
  // L = ours·theirs·frozen
  optimizer.backward(() => sum(multiply(multiply(ours, theirs), frozen)));
  expect(await optimizer.readGradients()).toEqual({ ours: Float32Array.of(15) });
});

test("the library's gradients are those of difference quotients", async () => {
  const x = new Tensor([0.5, -1, 2, 1.5, 0, -0.5], [2, 3]);
  const parameters = { w: new Tensor([0.1, -0.2, 0.3, 0.4, -0.5, 0.6], [3, 2]), b: tensor(0.7, -0.8) };
  const { w, b } = parameters;
  const wanted = new Tensor([0.2, 0.8, 1, 0], [2, 2]);
  const loss = (): Tensor => sum(multiply(logSoftmax(tanh(add(matmul(x, w), b))), wanted));
  const optimizer = tapeOptimizer(sgd(), parameters);
  optimizer.backward(loss);
  const gradients = await optimizer.readGradients();
  for (const [name, { values }] of Object.entries(parameters)) {
    for (const [index, value] of values.entries()) {
      const at = (moved: number): number => {
        values[index] = moved;
        const [found = Number.NaN] = loss().values;
        values[index] = value;
        return found;
      };
      // Off by h² and by 2⁻⁵³ ÷ h: 1e-10 at h = 1e-5; gradients are float32.
      expect(gradients[name]?.[index]).toBeCloseTo((at(value + 1e-5) - at(value - 1e-5)) / 2e-5, 6);
    }
  }
});

test("a loss that uses no parameter is refused", () => {
  const optimizer = tapeOptimizer(sgd(), { w: tensor(1) });
  expect(() => optimizer.backward(() => sum(tensor(1)))).toThrow(
    expect.objectContaining({ code: "no-gradient" }),
  );
});

test.each([
  ["a vector", (w: Tensor) => w],
  ["a number", () => 1],
])("a loss of %s is refused", (_, loss) => {
  const w = tensor(1, 2);
  const optimizer = tapeOptimizer(sgd(), { w });
  expect(() => optimizer.backward(() => loss(w) as Tensor)).toThrow(
    expect.objectContaining({ code: "invalid-loss" }),
  );
});

test("a tensor that was computed, and one that lacks elements, are refused", () => {
  for (const w of [tanh(tensor(1)), new Tensor([1, 2], [3])]) {
    expect(() => tapeOptimizer(sgd(), { w })).toThrow(expect.objectContaining({ code: "invalid-parameter" }));
  }
});
