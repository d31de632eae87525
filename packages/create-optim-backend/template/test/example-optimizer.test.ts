import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { type ExampleLoss, exampleOptimizer, Variable } from "../src/index.ts";

// Tests of what the kit cannot know: closures, parameters and memory of your library.

test("a step goes against the gradient", () => {
  const w = new Variable(Float32Array.of(1, 2));
  const optim = createOptimWrapper(exampleOptimizer(sgd({ lr: 0.5 }), { w }));
  // Σw³: 3w² is (3, 12).
  optim.updateParams(({ grad, scale }) => {
    grad(w).set(w.data.map((x) => 3 * x ** 2 * scale));
    return w.data.reduce((sum, x) => sum + x ** 3, 0);
  });
  expect([...w.data]).toEqual([1 - 0.5 * 3, 2 - 0.5 * 12]);
});

test("variables of another optimizer, and frozen ones, are constants to a loss", async () => {
  const [ours, theirs, frozen] = [2, 3, 5].map((x) => new Variable(Float32Array.of(x))) as [
    Variable,
    Variable,
    Variable,
  ];
  const optimizer = exampleOptimizer(sgd({ lr: 1 }), { ours, frozen });
  optimizer.freeze(["frozen"]);
  optimizer.backward(({ grad, scale }) => {
    for (const variable of [ours, theirs, frozen]) grad(variable).fill(7 * scale);
    return 0;
  });
  expect(await optimizer.readGradients()).toEqual({ ours: Float32Array.of(7) });
});

test("a loss that returns no number is refused", () => {
  const optimizer = exampleOptimizer(sgd(), { w: new Variable(Float32Array.of(1)) });
  const late = (async () => 0) as unknown as ExampleLoss;
  expect(() => optimizer.backward(late)).toThrow(expect.objectContaining({ code: "invalid-loss" }));
});

test("what is no variable, and one whose shape is not that of its elements, are refused", () => {
  for (const w of [Float32Array.of(1) as unknown as Variable, new Variable(Float32Array.of(1), [2])]) {
    expect(() => exampleOptimizer(sgd(), { w })).toThrow(
      expect.objectContaining({ code: "invalid-parameter" }),
    );
  }
});
