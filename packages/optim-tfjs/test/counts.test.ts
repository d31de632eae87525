import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { wasmKernels } from "@mm/optim-wasm/kernel";
import * as tf from "@tensorflow/tfjs-core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { paths, use } from "./backends.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** The kernels of every memory. */
function spyOnKernels(): { [K in "run" | "reduce" | "accumulate"]: () => number } {
  const prototype = Object.getPrototypeOf(wasmKernels(new WebAssembly.Memory({ initial: 1 }))) as ReturnType<
    typeof wasmKernels
  >;
  const spies = {
    run: vi.spyOn(prototype, "run"),
    reduce: vi.spyOn(prototype, "reduce"),
    accumulate: vi.spyOn(prototype, "accumulate"),
  };
  const calls = (spy: { readonly mock: { readonly calls: readonly unknown[] } }) => () =>
    spy.mock.calls.length;
  return {
    run: calls(spies.run),
    reduce: calls(spies.reduce),
    accumulate: calls(spies.accumulate),
  };
}

const settings: readonly (readonly [string, OptimWrapperOptions, number])[] = [
  ["plain", {}, 0],
  ["clipped by value", { clipGrad: { type: "value", clipValue: 1 } }, 0],
  ["clipped by norm", { clipGrad: { maxNorm: 1 } }, 1],
  ["a loss scale", { lossScale: "dynamic" }, 1],
  ["a loss scale, clipped by norm", { lossScale: "dynamic", clipGrad: { maxNorm: 1 } }, 1],
];

describe.each(paths.filter(({ inPlace }) => inPlace))(
  "$name: kernel calls of a step over 3 tensors",
  (path) => {
    test.each(settings)("%s", async (_, options, reductions) => {
      await use(path);
      const variables = Object.fromEntries(
        ["a", "b", "c"].map((name) => [name, tf.variable(tf.ones([4, 5]))]),
      );
      const optimizer = tfjsOptimizer(adam(), variables);
      const wrapper = createOptimWrapper(optimizer, options);
      const loss = (): tf.Scalar => tf.sum(tf.addN(Object.values(variables)));
      wrapper.updateParams(loss);
      wrapper.backward(loss);
      const kernels = spyOnKernels();
      wrapper.step();
      expect({
        run: kernels.run(),
        reduce: kernels.reduce(),
        accumulate: kernels.accumulate(),
      }).toEqual({ run: 3, reduce: 3 * reductions, accumulate: 0 });
      wrapper.dispose();
    });
  },
);

test("a step on tfjs-wasm runs no tfjs kernel and allocates nothing on its heap", async () => {
  await use({ backend: "wasm" });
  const variables = { w: tf.variable(tf.ones([100])), b: tf.variable(tf.ones([])) };
  const wrapper = createOptimWrapper(tfjsOptimizer(adam(), variables), {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 1 },
    lossScale: "dynamic",
  });
  const loss = (): tf.Scalar => tf.sum(tf.mul(variables.w, variables.b));
  for (let update = 0; update < 4; update += 1) wrapper.updateParams(loss);
  wrapper.backward(loss);
  const backend = tf.backend() as tf.KernelBackend & {
    readonly wasm: { _malloc: (bytes: number) => number };
  };
  const heap = vi.spyOn(backend.wasm, "_malloc");
  const writes = vi.spyOn(backend, "write");
  const { kernels } = await tf.profile(() => {
    wrapper.step();
    wrapper.zeroGrad();
  });
  expect(kernels).toEqual([]);
  expect(heap).not.toHaveBeenCalled();
  expect(writes).not.toHaveBeenCalled();
  // The spies see what they should: an op allocates.
  tf.dispose(tf.add(variables.b, 1));
  expect(writes.mock.calls.length + heap.mock.calls.length).toBeGreaterThan(0);
  wrapper.dispose();
});

describe.each(paths.filter(({ inPlace }) => !inPlace))("$name: a step of Adam", (path) => {
  /** The kernels of one step over this many tensors, and the tensors that were made of numbers. */
  async function stepOver(tensors: number, options: OptimWrapperOptions = {}, warm = true) {
    await use(path);
    const variables = Object.fromEntries(
      Array.from({ length: tensors }, (_, index) => [`v${index}`, tf.variable(tf.ones([4, 5]))]),
    );
    const wrapper = createOptimWrapper(tfjsOptimizer(adam(), variables, path.options), options);
    const loss = (): tf.Scalar => tf.sum(tf.addN(Object.values(variables)));
    if (warm) wrapper.updateParams(loss);
    wrapper.backward(loss);
    const made = vi.spyOn(tf.engine(), "makeTensor");
    const { kernels } = await tf.profile(() => wrapper.step());
    const numbers = made.mock.calls.length;
    made.mockRestore();
    wrapper.dispose();
    tf.dispose(variables);
    return { kernels: kernels.map(({ name }) => name), numbers };
  }

  test("one kernel an operation of the rule, from the first step on, and no copies", async () => {
    // g × factor; m: two products, their sum; v: g², two products, their sum; the root, ÷ its correction, + ε; m ÷ that, × η, θ −.
    const perTensor = [
      ["Multiply"],
      ["Multiply", "Multiply", "Add"],
      ["Multiply", "Multiply", "Multiply", "Add"],
      ["Sqrt", "Multiply", "Add"],
      ["RealDiv", "Multiply", "Sub"],
    ].flat();
    const [two, five] = [await stepOver(2), await stepOver(5)];
    expect([...two.kernels].sort()).toEqual([...perTensor, ...perTensor].sort());
    expect(five.kernels.length).toBe(5 * perTensor.length);
    // Whether 0 ÷ 0 is NaN here was known before the first step, which makes the slots besides.
    const first = await stepOver(2, {}, false);
    expect(first.kernels.filter((name) => name !== "Fill").sort()).toEqual([...two.kernels].sort());
  });

  test.each(settings)("numbers become tensors once a step, for all parameters: %s", async (_, options) => {
    const [two, five] = [await stepOver(2, options), await stepOver(5, options)];
    expect(five.numbers).toBe(two.numbers);
    const copies = [two, five].map(({ kernels }) => kernels.filter((name) => name === "Identity").length);
    expect(copies[1]).toBe(copies[0]);
  });
});
