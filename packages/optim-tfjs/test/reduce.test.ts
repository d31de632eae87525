import { createOptimWrapper } from "@mm/optim-core";
import {
  add,
  defineUpdateRule,
  dot,
  largest,
  orthogonalize,
  perColumn,
  perRow,
  sub,
  sum,
} from "@mm/optim-core/rule";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test, vi } from "vitest";
import { ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";
import { linearLoss, paths, use } from "./backends.ts";

const byOps = paths.filter(({ inPlace }) => !inPlace);

/** The results of reductions of a gradient, in slots. Rows are outputs: columns of memory. */
const found = defineUpdateRule({
  name: "Found",
  shapes: "matrix",
  hyperparameters: { lr: 1 },
  slots: () => ({ sums: perRow(), squares: perColumn(), sizes: perRow(), all: 0 }),
  update: ({ param, grad }) => ({
    param,
    sums: sum(grad, "row"),
    squares: dot(grad, grad, "column"),
    sizes: largest(grad, "row"),
    all: add(sub(grad, grad), sum(grad)),
  }),
});

async function reductionsOf(shape: [number, number], gradient: Float32Array, path: (typeof paths)[number]) {
  await use(path);
  const w = tf.variable(tf.zeros(shape));
  const wrapper = createOptimWrapper(tfjsOptimizer(found(), { w }, path.options));
  wrapper.updateParams(linearLoss({ w }, { w: gradient }));
  const { slots } = (await wrapper.stateDict()).optimizer.params[0]!;
  wrapper.dispose();
  w.dispose();
  return slots;
}

describe.each(byOps)("$name: sums of many elements", (path) => {
  // Above 4096 terms, where one running float32 sum would err by some 1e-4, and with a rest.
  test.each([[[10_007, 2]], [[2, 10_007]]] as [[number, number]][])(
    "along both sides of %j, to 2e-6",
    async ([inputs, outputs]) => {
      // Between 0 and 1, so that sums grow: the hardest case.
      const gradient = ordinaryArray(randomNumbers(2), inputs * outputs).map(Math.abs);
      const at = (input: number, output: number): number => gradient[input * outputs + output]!;
      const counted = (length: number, term: (index: number) => number): number =>
        Array.from({ length }, (_, index) => term(index)).reduce((a, b) => a + b, 0);
      const { sums, squares, sizes, all } = await reductionsOf([inputs, outputs], gradient, path);
      for (const output of [0, 1, outputs - 1]) {
        expect(sums![output]! / counted(inputs, (input) => at(input, output))).toBeCloseTo(1, 5.7);
        expect(sizes![output]).toBe(
          Math.max(...Array.from({ length: inputs }, (_, input) => at(input, output))),
        );
      }
      for (const input of [0, 1, inputs - 1])
        expect(squares![input]! / counted(outputs, (output) => at(input, output) ** 2)).toBeCloseTo(1, 5.7);
      expect(all![0]! / counted(gradient.length, (index) => gradient[index]!)).toBeCloseTo(1, 5.7);
    },
  );
});

describe.each(paths)("$name", (path) => {
  test("NaN is the largest of the rows that hold one, and no other row's", async () => {
    // Outputs: (1, NaN), (−3, 2), (NaN, NaN).
    const gradient = Float32Array.of(1, -3, Number.NaN, Number.NaN, 2, Number.NaN);
    const { sizes, sums, squares } = await reductionsOf([2, 3], gradient, path);
    expect([...sizes!]).toEqual([Number.NaN, 3, Number.NaN]);
    expect([...sums!]).toEqual([Number.NaN, -1, Number.NaN]);
    expect([...squares!]).toEqual([Number.NaN, Number.NaN]);
  });

  test("infinity is the largest of its row", async () => {
    const { sizes } = await reductionsOf([2, 2], Float32Array.of(1, -Infinity, -2, 3), path);
    expect([...sizes!]).toEqual([2, Infinity]);
  });

  test.each([[[0, 3]], [[3, 0]]] as [[number, number]][])(
    "of a tensor without elements, %j: zeros",
    async (shape) => {
      const { sums, squares, sizes } = await reductionsOf(shape, new Float32Array(0), path);
      expect([sums, squares, sizes]).toEqual(
        [shape[1], shape[0], shape[1]].map((length) => new Float32Array(length)),
      );
    },
  );
});

describe.each(byOps)("$name: kernels of a step", (path) => {
  const orthogonal = defineUpdateRule({
    name: "Orthogonal",
    shapes: "matrix",
    hyperparameters: { lr: 1 },
    update: ({ param, grad }) => ({ param: sub(param, orthogonalize(grad)) }),
  });

  test.each([
    // A step transposes X once; [inputs, outputs] of more inputs than outputs is transposed before and after.
    ["wide", [3, 8], 5],
    ["tall", [8, 3], 7],
  ] as const)(
    "%s: three products for each of five Newton–Schulz steps, of what lies as it is multiplied",
    async (_, shape, turns) => {
      await use(path);
      const w = tf.variable(tf.ones([...shape]));
      const wrapper = createOptimWrapper(tfjsOptimizer(orthogonal(), { w }, path.options));
      const loss = (): tf.Scalar => tf.sum(tf.square(w));
      wrapper.updateParams(loss);
      wrapper.backward(loss);
      const multiplied = vi.spyOn(tf.engine(), "runKernel");
      const { kernels } = await tf.profile(() => wrapper.step());
      const products = multiplied.mock.calls.filter(([name]) => name === tf.BatchMatMul);
      multiplied.mockRestore();
      const count = (kernel: string): number => kernels.filter(({ name }) => name === kernel).length;
      expect(count("BatchMatMul")).toBe(15);
      expect(count("Transpose")).toBe(turns);
      expect(products.map(([, , attributes]) => attributes)).toEqual(
        Array.from({ length: 15 }, () => ({ transposeA: false, transposeB: false })),
      );
      wrapper.dispose();
      w.dispose();
    },
  );

  test("what several reductions need is computed once", async () => {
    const rule = defineUpdateRule({
      name: "Shared",
      hyperparameters: { lr: 1 },
      update({ param, grad }) {
        const square = dot(grad, grad);
        const centred = sub(grad, square);
        return { param: add(sub(param, centred), add(sum(centred), largest(centred))) };
      },
    });
    await use(path);
    const w = tf.variable(tf.ones([3]));
    const wrapper = createOptimWrapper(tfjsOptimizer(rule(), { w }, path.options));
    const loss = (): tf.Scalar => tf.sum(tf.square(w));
    wrapper.updateParams(loss);
    wrapper.backward(loss);
    const { kernels } = await tf.profile(() => wrapper.step());
    // g × factor, its square; g − Σ, θ − that. The rest are sums, sizes and one addition.
    const count = (kernel: string): number => kernels.filter(({ name }) => name === kernel).length;
    expect([count("Multiply"), count("Sub")]).toEqual([2, 2]);
    wrapper.dispose();
    w.dispose();
  });
});
