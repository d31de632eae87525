import { createOptimWrapper, type OptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import {
  abs,
  add,
  defineUpdateRule,
  div,
  dot,
  eq,
  gt,
  largest,
  lt,
  max,
  min,
  mul,
  neg,
  norm,
  orthogonalize,
  perColumn,
  perRow,
  select,
  sign,
  sqrt,
  sub,
  sum,
  total,
} from "@mm/optim-core/rule";
import { tfjsOptimizer, type TfjsOptimizerOptions } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";
import { linearLoss } from "./backends.ts";

/** Sums per row, column and tensor, of what depends on other sums, over all tensors, and slots of each kind. */
export const reducing = /* @__PURE__ */ defineUpdateRule({
  name: "Reducing",
  shapes: "matrix",
  hyperparameters: { lr: 0.1 },
  slots: () => ({ rowVar: perRow(), colVar: perColumn(0.5), average: 0 }),
  update({ param, grad, rowVar, colVar, average, rows, cols, size }, { lr }) {
    const nextRow = add(mul(0.9, rowVar), mul(0.1, div(dot(grad, grad, "row"), cols)));
    const nextColumn = add(mul(0.9, colVar), mul(0.1, largest(grad, "column")));
    const next = add(mul(0.9, average), grad);
    const scaled = div(next, sqrt(add(mul(nextRow, nextColumn), 0.01)));
    // Selections of which both sides are equal where the condition turns: no rounding makes it jump.
    const bound = add(largest(scaled, "row"), div(sum(abs(scaled), "row"), cols));
    const bounded = max(min(scaled, mul(0.75, bound)), neg(mul(0.75, bound)));
    const middle = div(sum(bounded, "column"), rows);
    const centred = sub(bounded, select(gt(middle, 0), middle, mul(0.5, middle)));
    const mean = div(add(sum(centred), largest(centred)), size);
    const raised = select(lt(centred, mean), mean, centred);
    const sizes = select(eq(sign(raised), 1), raised, neg(raised));
    const all = total(norm(grad));
    const share = total(div(dot(grad, sizes), add(all, 1)));
    const energy = sqrt(add(dot(sizes, raised, "column"), sum(dot(raised, raised, "row"))));
    const change = add(raised, mul(0.01, mul(share, div(sizes, add(energy, 1)))));
    return { param: sub(param, mul(lr, change)), rowVar: nextRow, colVar: nextColumn, average: next };
  },
});

/** Orthogonalized momentum, as tall and as wide as a matrix is. */
export const orthogonalizing = /* @__PURE__ */ defineUpdateRule({
  name: "Orthogonalizing",
  shapes: "matrix",
  hyperparameters: { lr: 0.1 },
  slots: () => ({ momentum: 0 }),
  update({ param, grad, momentum, rows, cols }, { lr }) {
    const next = add(mul(0.9, momentum), grad);
    const rate = mul(lr, sqrt(max(1, div(rows, cols))));
    return { param: sub(param, mul(rate, orthogonalize(next))), momentum: next };
  },
});

/** Dense kernels and one of a convolution. */
export const shapes: { readonly [name: string]: number[] } = {
  dense: [5, 3],
  wide: [3, 8],
  square: [4, 4],
  kernel: [2, 3, 3, 4],
  tall: [40, 2],
  broad: [2, 40],
};
const names = Object.keys(shapes);

export interface Trained {
  readonly parameters: { readonly [name: string]: Float32Array };
  readonly state: Awaited<ReturnType<OptimWrapper<never, unknown>["stateDict"]>>;
}

/** The same steps on the active backend of tfjs and on the reference. One tensor misses every third gradient. */
export async function trainBoth(
  rule: ReturnType<typeof reducing> | ReturnType<typeof orthogonalizing>,
  options: OptimWrapperOptions,
  { lowering = "auto", steps = 6, nanEvery }: TfjsOptimizerOptions & { steps?: number; nanEvery?: number },
): Promise<[ours: Trained, reference: Trained]> {
  const random = randomNumbers(11);
  const initial = (name: string): Float32Array => ordinaryArray(random, tf.util.sizeFromShape(shapes[name]!));
  const arrays = Object.fromEntries(names.map((name) => [name, initial(name)]));
  const variables = Object.fromEntries(
    names.map((name) => [name, tf.variable(tf.tensor(arrays[name]!.slice(), shapes[name]))]),
  );
  const ours = createOptimWrapper(tfjsOptimizer(rule, variables, { lowering }), options);
  const reference = createOptimWrapper(arrayOptimizer(rule, [{ params: arrays, shapes }], "last"), options);
  for (let step = 0; step < steps; step += 1) {
    const present = names.filter((name) => name !== "wide" || step % 3 !== 1);
    const gradients = Object.fromEntries(present.map((name) => [name, initial(name)]));
    if (nanEvery !== undefined && step % nanEvery === 1) gradients["square"]![4] = Number.NaN;
    ours.updateParams(linearLoss(variables, gradients));
    reference.updateParams(() => gradients);
  }
  const results: [Trained, Trained] = [
    { parameters: await ours.optimizer.readParameters(), state: await ours.stateDict() },
    { parameters: await reference.optimizer.readParameters(), state: await reference.stateDict() },
  ];
  ours.dispose();
  reference.dispose();
  tf.dispose(variables);
  return results;
}
