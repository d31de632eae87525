import { createOptimWrapper } from "@mm/optim-core";
import {
  add,
  defineUpdateRule,
  dot,
  mul,
  orthogonalize,
  perRow,
  sub,
  sum,
  type Tensor,
  type UpdateInputs,
} from "@mm/optim-core/rule";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { wasmOptimizer } from "@mm/optim-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { distance, randomNumbers } from "../../../test-support/numbers.ts";
import { type ExecutionPath, linearLoss, paths, use } from "./backends.ts";

/** A rule whose next parameter is what `update` makes of the gradient, a matrix. */
const shaped = (update: (x: UpdateInputs<never, never>) => Tensor) =>
  defineUpdateRule({
    name: "Shaped",
    shapes: "matrix",
    hyperparameters: { lr: 1 },
    update: (x) => ({ param: update(x) }),
  })();

const nothing = (x: Tensor): Tensor => sub(x, x);

/** The variable after a step with a gradient of 1, 2, 3, … */
async function after(
  path: ExecutionPath,
  shape: number[],
  update: Parameters<typeof shaped>[0],
): Promise<number[]> {
  await use(path);
  const w = tf.variable(tf.zeros(shape));
  const wrapper = createOptimWrapper(tfjsOptimizer(shaped(update), { w }, path.options));
  wrapper.updateParams(linearLoss({ w }, { w: Array.from({ length: w.size }, (_, index) => index + 1) }));
  const values = [...(await w.data())];
  wrapper.dispose();
  w.dispose();
  return values;
}

const sumPerRow = ({ param, grad }: UpdateInputs<never, never>): Tensor =>
  add(nothing(param), sum(grad, "row"));
const sides = ({ param, rows, cols, size }: UpdateInputs<never, never>): Tensor =>
  add(nothing(param), add(mul(100, rows), add(mul(10, cols), size)));

describe.each(paths)("$name: rows of a rule are the outputs of a layer, which stand last", (path) => {
  test("of a dense kernel [inputs, outputs] = [[1, 2], [3, 4], [5, 6]]: 1 + 3 + 5 = 9 and 2 + 4 + 6 = 12", async () => {
    expect(await after(path, [3, 2], sumPerRow)).toEqual([9, 12, 9, 12, 9, 12]);
    // 2 rows, 3 columns.
    expect(await after(path, [3, 2], sides)).toEqual(Array(6).fill(236));
  });

  test("of a convolution's kernel [height, width, inputs, outputs] = [1, 2, 2, 2]: 1 + 3 + 5 + 7 = 16 and 20", async () => {
    expect(await after(path, [1, 2, 2, 2], sumPerRow)).toEqual([16, 20, 16, 20, 16, 20, 16, 20]);
    // 2 rows, 1·2·2 columns.
    expect(await after(path, [1, 2, 2, 2], sides)).toEqual(Array(8).fill(248));
  });

  test("of a depthwise kernel [height, width, inputs, multiplier] its multiplier, whatever the layer puts out", async () => {
    // 6 outputs of 2 inputs with multiplier 3: three rows, 1 + 4 = 5, 2 + 5 = 7, 3 + 6 = 9.
    expect(await after(path, [1, 1, 2, 3], sumPerRow)).toEqual([5, 7, 9, 5, 7, 9]);
    expect(await after(path, [1, 1, 2, 3], sides)).toEqual(Array(6).fill(326));
  });

  test("of a list of elements that its group takes as [inputs, outputs] = [[1, 2, 3], [4, 5, 6]]: 5, 7 and 9", async () => {
    await use(path);
    const w = tf.variable(tf.zeros([6]));
    const groups = [{ params: { w }, shapes: { w: [2, 3] } }];
    const wrapper = createOptimWrapper(tfjsOptimizer(shaped(sumPerRow), groups, path.options));
    wrapper.updateParams(linearLoss({ w }, { w: [1, 2, 3, 4, 5, 6] }));
    expect([...(await w.data())]).toEqual([5, 7, 9, 5, 7, 9]);
    expect(w.shape).toEqual([6]);
    wrapper.dispose();
    w.dispose();
  });

  test("a slot per row has as many elements as there are outputs", async () => {
    await use(path);
    const rule = defineUpdateRule({
      name: "RowSlot",
      shapes: "matrix",
      hyperparameters: { lr: 1 },
      slots: () => ({ energy: perRow(1) }),
      update({ param, grad, energy }) {
        const next = add(energy, dot(grad, grad, "row"));
        return { param: add(nothing(param), next), energy: next };
      },
    });
    const w = tf.variable(tf.zeros([3, 2]));
    const optimizer = tfjsOptimizer(rule(), { w }, path.options);
    const wrapper = createOptimWrapper(optimizer);
    const loss = linearLoss({ w }, { w: [1, 2, 3, 4, 5, 6] });
    wrapper.updateParams(loss);
    wrapper.updateParams(loss);
    // 1 + 2·(1 + 9 + 25) and 1 + 2·(4 + 16 + 36).
    expect([...(await w.data())]).toEqual([71, 113, 71, 113, 71, 113]);
    const state = await wrapper.stateDict();
    expect(state.optimizer.params[0]?.slots).toEqual({ energy: Float32Array.of(71, 113) });
    wrapper.updateParams(loss);
    await wrapper.loadStateDict(state);
    wrapper.updateParams(loss);
    expect([...(await w.data())].slice(0, 2)).toEqual([106, 169]);
    wrapper.dispose();
    w.dispose();
  });
});

describe("the same as wasmOptimizer makes of the transposed data", () => {
  const rule = defineUpdateRule({
    name: "Oriented",
    shapes: "matrix",
    hyperparameters: { lr: 0.5 },
    slots: () => ({ momentum: 0, energy: perRow() }),
    update({ param, grad, momentum, energy, rows }, { lr }) {
      const next = add(mul(0.5, momentum), grad);
      const [perOutput, perInput] = [sum(next, "row"), dot(grad, grad, "column")];
      const direction = add(orthogonalize(next), mul(mul(perOutput, perInput), 2 ** -12));
      const kept = add(energy, mul(perOutput, perOutput));
      const change = mul(mul(lr, rows), add(direction, mul(kept, 2 ** -12)));
      return { param: sub(param, change), momentum: next, energy: kept };
    },
  });
  // Sixteenths: sums in float64 are exact in whatever order.
  const random = randomNumbers(5);
  const sixteenths = (length: number): Float32Array =>
    Float32Array.from({ length }, () => Math.floor(32 * random() - 16) / 16);
  const transposed = (x: Float32Array, outputs: number): Float32Array => {
    const inputs = x.length / outputs;
    return x.map((_, index) => x[(index % inputs) * outputs + Math.floor(index / inputs)] as number);
  };

  const kernels = [
    ["dense", [7, 5]],
    ["dense, more outputs than inputs", [5, 12]],
    ["convolution", [3, 2, 3, 4]],
  ] as const;
  test.each(
    paths.flatMap((path) => kernels.map(([layer, shape]) => [path.name, layer, shape, path] as const)),
  )("%s, %s", async (_, __, shape, path) => {
    await use(path);
    const outputs = shape.at(-1)!;
    const initial = sixteenths(tf.util.sizeFromShape([...shape]));
    const w = tf.variable(tf.tensor(initial.slice(), [...shape]));
    const ours = createOptimWrapper(tfjsOptimizer(rule(), { w }, path.options));
    const other = transposed(initial, outputs);
    const shapes = { w: [outputs, other.length / outputs] };
    const theirs = createOptimWrapper(wasmOptimizer(rule(), [{ params: { w: other }, shapes }]));
    for (let step = 0; step < 4; step += 1) {
      const gradient = sixteenths(w.size);
      ours.updateParams(linearLoss({ w }, { w: gradient }));
      theirs.updateParams(({ grad }) => (grad("w").set(transposed(gradient, outputs)), 0));
    }
    const found = transposed(await w.data<"float32">(), outputs);
    // None in place. By ops: five Newton–Schulz steps in another order of sums, four times.
    expect(distance(found, other)).toBeLessThanOrEqual(path.inPlace ? 0 : 4 * outputs * 1e-5);
    ours.dispose();
    theirs.dispose();
    w.dispose();
  });
});
