import type { numpy as np } from "@jax-js/jax";
import { createOptimWrapper, type Optimizer } from "@mm/optim-core";
import {
  type ArraysOf,
  type JaxLoss,
  jaxOptimizer,
  jitLoss,
  type ReadVariables,
  type Variable,
} from "@mm/optim-jax";
import { adamw, sgd } from "@mm/optim-rules";
import { expectTypeOf, test } from "vitest";

declare const w: Variable;
declare const at: ReadVariables;
declare const array: np.Array;
const model = { layers: [{ w }], head: { w, b: w } };

test("what is read has the form of what it is read from", () => {
  expectTypeOf(at(w)).toEqualTypeOf<np.Array>();
  expectTypeOf(at(model)).toEqualTypeOf<{ layers: { w: np.Array }[]; head: { w: np.Array; b: np.Array } }>();
  expectTypeOf(at([w, w] as const)).toEqualTypeOf<[np.Array, np.Array]>();
  expectTypeOf<ArraysOf<typeof model>>().toEqualTypeOf(at(model));
  // @ts-expect-error: an array is no variable
  at(array);
});

test("an optimizer is of losses that read, and of the rule's hyperparameters", () => {
  const optimizer = jaxOptimizer(adamw({ lr: 0.1 }), { w });
  expectTypeOf(optimizer).toExtend<Optimizer<JaxLoss, np.Array>>();
  expectTypeOf(optimizer.paramGroups[0].weightDecay).toEqualTypeOf<number>();
  const optim = createOptimWrapper(optimizer);
  expectTypeOf(
    optim.updateParams((read) => read(w).sum(), { returnLoss: true }).loss,
  ).toEqualTypeOf<np.Array>();
  jaxOptimizer(adamw(), [
    { params: { w }, weightDecay: 0.1 },
    { params: { b: w }, rule: sgd({ lr: 1 }) },
  ]);
});

test("a loss under jit is of a model with the form that its function takes", () => {
  const loss = jitLoss((arrays: ArraysOf<typeof model>, x: np.Array, batch: { y: np.Array }) =>
    arrays.head.w.mul(x).sub(batch.y).sum(),
  );
  expectTypeOf(loss(model, array, { y: array })).toEqualTypeOf<JaxLoss>();
  // @ts-expect-error: arrays are no variables
  loss({ layers: [{ w: array }], head: { w: array, b: array } }, array, { y: array });
  // @ts-expect-error: an argument lacks
  loss(model, array);
});

test("what does not compile", () => {
  // @ts-expect-error: an array cannot be stepped
  jaxOptimizer(sgd(), { w: array });
  // @ts-expect-error: SGD knows no such hyperparameter
  jaxOptimizer(sgd(), [{ params: { w }, beta1: 0.9 }]);
  const optim = createOptimWrapper(jaxOptimizer(sgd(), { w }));
  // @ts-expect-error: a loss is an array
  optim.updateParams(() => 1);
  // @ts-expect-error: what a variable holds is read, and assigned
  w.array = array;
});
