import { arrayKernels, matrixViewOf, traceRule } from "@mm/optim-core/backend";
import {
  add,
  type Coefficients,
  defineUpdateRule,
  div,
  dot,
  type ErasedDefinition,
  gt,
  largest,
  max,
  mul,
  norm,
  orthogonalize,
  perColumn,
  perRow,
  select,
  sqrt,
  sub,
  sum,
} from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import { anyArray, ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { bothWays, Heap } from "./fixtures.ts";

const plain = { clipValue: false, zeroNonFinite: false };

/** All that is per row and per column at once, and what depends on it in four passes. */
const everything: ErasedDefinition = defineUpdateRule({
  name: "Everything",
  shapes: "matrix",
  hyperparameters: { lr: 0.1 },
  slots: () => ({ rows_: perRow(), columns_: perColumn(1), mean: 0 }),
  update({ param, grad, rows_, columns_, mean, rows, cols }, { lr }) {
    const rowVariance = add(mul(0.9, rows_), div(dot(grad, grad, "row"), cols));
    const columnVariance = max(add(mul(0.9, columns_), div(dot(grad, param, "column"), rows)), 1e-3);
    const estimate = mul(rowVariance, columnVariance);
    const scaled = div(grad, sqrt(max(div(estimate, max(sum(rowVariance), 1e-3)), 1e-6)));
    const bounded = div(scaled, add(largest(scaled, "row"), largest(mul(scaled, mean), "column")));
    const size = norm(sub(bounded, sum(bounded, "column")));
    const next = select(gt(bounded, sum(rowVariance)), bounded, mul(mean, size));
    return {
      param: sub(param, mul(lr, next)),
      rows_: rowVariance,
      columns_: columnVariance,
      mean: add(mean, mul(largest(next), sum(mul(rows_, rowVariance)))),
    };
  },
})().definition;

const shapes = [
  [1, 1],
  [1, 9],
  [9, 1],
  [3, 5],
  [5, 16],
  [16, 5],
  [7, 35],
  [64, 33],
  [2, 1000],
  [0, 3],
  [3, 0],
] as const;

describe.each([false, true])("rows and columns equal the reference to the bit, outputs last: %s", (last) => {
  const random = randomNumbers(11);
  const program = traceRule(everything, { matrix: true }, plain, last);

  test.each(shapes)("%i × %i", (rows, cols) => {
    const extents = { rows, cols };
    const length = rows * cols;
    for (const make of [ordinaryArray, anyArray]) {
      const { compiled, reference } = bothWays(
        program,
        make(random, length),
        make(random, length),
        program.slotAxes.map((axes) => make(random, axes === 1 ? rows : axes === 2 ? cols : length)),
        Float32Array.from(program.uniforms, () => random()),
        extents,
      );
      expect(compiled).toEqual(reference);
    }
  });
});

test("passes come in levels, elements before rows before columns, and updates are the last", () => {
  const { passes } = traceRule(everything, { matrix: true }, plain);
  expect(passes.map((pass) => `${pass.kind} ${"axes" in pass ? pass.axes : ""}`)).toEqual([
    // Sums per row and column; Σ of the row variances; largest per row and column; sums per column of what these divide; the norm; its largest.
    "reduce 3",
    "reduce 1",
    "reduce 3",
    "reduce 3",
    "reduce 3",
    "reduce 3",
    "update 3",
    "update 1",
    "update 2",
  ]);
});

describe("orthogonalize equals the reference to the bit", () => {
  const jordan = Array.from({ length: 5 }, (): Coefficients => [3.4445, -4.775, 2.0315]);
  const random = randomNumbers(13);

  test.each([
    [1, 1],
    [1, 7],
    [7, 1],
    [3, 5],
    [8, 8],
    [17, 33],
    [40, 9],
    [64, 100],
    [0, 4],
  ])("%i × %i", (rows, cols) => {
    const heap = new Heap();
    const data = ordinaryArray(random, rows * cols);
    const size = Math.hypot(...data) + 1e-7;
    const normalized = data.map((x) => x / size);
    const vector = heap.vector(normalized);
    const rule = defineUpdateRule({
      name: "Orthogonal",
      shapes: "matrix",
      hyperparameters: { lr: 1 },
      update: ({ grad }) => ({ param: orthogonalize(grad) }),
    })();
    heap.kernels.reserve(traceRule(rule.definition, { matrix: true }, plain), matrixViewOf([rows, cols]));
    heap.kernels.orthogonalize(vector, { rows, cols }, jordan);
    const reference = normalized.slice();
    arrayKernels().orthogonalize(reference, { rows, cols }, jordan);
    expect(heap.read(vector)).toEqual(reference);
  });
});
