import {
  add,
  defineUpdateRule,
  div,
  dot,
  largest,
  mul,
  norm,
  type Scalar,
  sqrt,
  sub,
  sum,
  type Tensor,
} from "@mm/optim-core/rule";
import { webgpuOptimizer } from "@mm/optim-webgpu";
import { beforeAll, describe, expect, test } from "vitest";
import { ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";
import { arenaWith, besideReference, type Shapes, type Values } from "./support/beside-reference.ts";
import { openDevice } from "./support/node.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});

/** A rule that keeps what it measures of the gradient, and leaves the parameter. */
const measuring = (name: string, measure: (grad: Tensor, param: Tensor) => Scalar) =>
  defineUpdateRule({
    name,
    hyperparameters: { lr: 1 },
    scalarSlots: () => ({ found: 0 }),
    update: ({ param, grad }) => ({ param, found: measure(grad, param) }),
  })();

/** Scalar slots after one step, by name of the parameter. */
async function measured(
  rule: ReturnType<typeof measuring>,
  gradients: Values,
  parameters: Values = gradients,
): Promise<{ readonly [name: string]: number }> {
  const optimizer = webgpuOptimizer(rule, arenaWith(device, parameters), { device });
  optimizer.writeGradients(gradients);
  optimizer.step();
  const { params } = await optimizer.stateDict();
  optimizer.dispose();
  return Object.fromEntries(params.map(({ name, scalarSlots }) => [name, scalarSlots["found"]!]));
}

const random = randomNumbers(21);
// One tile and more; none, one and many whole vectors of four.
const tensors: Values = Object.fromEntries(
  [0, 1, 3, 4, 65, 4096, 4097, 20_001].map((length) => [`of ${length}`, ordinaryArray(random, length)]),
);
const others: Values = Object.fromEntries(
  Object.entries(tensors).map(([name, { length }]) => [name, ordinaryArray(random, length)]),
);

const sumOf = (values: ArrayLike<number>, term: (index: number) => number): number =>
  Array.from(values, (_, index) => term(index)).reduce((total, value) => total + value, 0);

/**
 * Threads add up to 16 vectors of four in float32, then their sums: about 1e-7 of the sum of the sizes of all terms, which is more than the sum
 * where terms cancel.
 */
const share = 1e-6;

describe("one number for a tensor", () => {
  test("sum", async () => {
    const found = await measured(
      measuring("sum", (grad) => sum(grad)),
      tensors,
    );
    for (const [name, x] of Object.entries(tensors)) {
      const sizes = sumOf(x, (i) => Math.abs(x[i]!));
      expect(Math.abs(found[name]! - sumOf(x, (i) => x[i]!))).toBeLessThanOrEqual(share * sizes);
    }
  });

  test("dot", async () => {
    const found = await measured(measuring("dot", dot), tensors, others);
    for (const [name, x] of Object.entries(tensors)) {
      const y = others[name]!;
      const sizes = sumOf(x, (i) => Math.abs(x[i]! * y[i]!));
      expect(Math.abs(found[name]! - sumOf(x, (i) => x[i]! * y[i]!))).toBeLessThanOrEqual(share * sizes);
    }
  });

  test("largest, exactly", async () => {
    const found = await measured(
      measuring("largest", (grad) => largest(grad)),
      tensors,
    );
    for (const [name, x] of Object.entries(tensors))
      expect(found[name]).toBe(Math.max(0, ...x.map(Math.abs)));
  });
});

describe("what float32 cannot hold by itself", () => {
  const of = (x: number, length = 5000): Values => ({ w: new Float32Array(length).fill(x) });
  test("a mean whose sum is above float32: 5000 × 2¹²⁵ ÷ 5000 = 2¹²⁵", async () => {
    const mean = measuring("mean", (grad) => div(sum(grad), 5000));
    const { w } = await measured(mean, of(2 ** 125));
    expect(w! / 2 ** 125).toBeCloseTo(1, 6);
  });

  test.each([1e30, 1e-30])("√Σx² ÷ max |x| of 5000 elements of %d is √5000", async (x) => {
    const root = measuring("root", (grad) => div(sqrt(dot(grad, grad)), largest(grad)));
    const { w } = await measured(root, of(x));
    expect(w! / Math.sqrt(5000)).toBeCloseTo(1, 6);
  });

  test("of what is not finite nothing finite comes", async () => {
    const values = Float32Array.of(1, Number.POSITIVE_INFINITY, 2);
    expect(
      (
        await measured(
          measuring("sum", (grad) => sum(grad)),
          { w: values },
        )
      ).w,
    ).toBe(Number.POSITIVE_INFINITY);
    expect(
      (
        await measured(
          measuring("largest", (grad) => largest(grad)),
          { w: values },
        )
      ).w,
    ).toBe(Number.POSITIVE_INFINITY);
    expect(
      (
        await measured(
          measuring("sum", (grad) => sum(grad)),
          { w: values.map((x) => -x) },
        )
      ).w,
    ).toBe(Number.NEGATIVE_INFINITY);
    const opposite = Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    for (const measure of [
      (grad: Tensor) => sum(grad),
      (grad: Tensor) => dot(grad, grad),
      (grad: Tensor) => largest(grad),
    ]) {
      const nan = await measured(measuring("nan", measure), { w: Float32Array.of(1, NaN) });
      expect(nan.w).toBeNaN();
    }
    expect(
      (
        await measured(
          measuring("sum", (grad) => sum(grad)),
          { w: opposite },
        )
      ).w,
    ).toBeNaN();
  });
});

test("a norm of what depends on a sum that depends on a norm: three passes, one step", async () => {
  const nested = defineUpdateRule({
    name: "nested",
    hyperparameters: { lr: 0.1 },
    slots: () => ({ average: 0 }),
    scalarSlots: () => ({ spread: 0 }),
    update({ param, grad, average, size, spread }, { lr }) {
      const unit = div(grad, add(norm(grad), 1e-6));
      const centred = sub(unit, div(sum(unit), size));
      const next = add(mul(0.5, average), centred);
      return {
        param: sub(param, mul(lr, div(next, norm(next)))),
        average: next,
        spread: add(mul(0.5, spread), norm(centred)),
      };
    },
  });
  const shapes: Shapes = { a: [5], b: [4097], c: [64] };
  const found = await besideReference(device, nested(), shapes, (params) => [{ params }]);
  // Elements below 1, after a handful of roundings and norms of relative error 1e-6.
  expect(found.parameters).toBeLessThanOrEqual(1e-5);
  expect(found.slots).toBeLessThanOrEqual(1e-5);
});
