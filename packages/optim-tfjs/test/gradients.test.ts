import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test, vi } from "vitest";
import { linearLoss, paths, use } from "./backends.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

describe.each(paths)("$name", (path) => {
  const make = (variables: { readonly [name: string]: tf.Variable }, lossScale?: number) =>
    createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), variables, path.options), { lossScale });

  test("a variable that the loss does not reach has no gradient and takes no step", async () => {
    await use(path);
    const variables = { a: tf.variable(tf.ones([2])), b: tf.variable(tf.ones([2])) };
    const wrapper = make(variables);
    wrapper.backward(linearLoss(variables, { a: [1, 2] }));
    expect(Object.keys(await wrapper.optimizer.readGradients())).toEqual(["a"]);
    wrapper.step();
    expect([...variables.a.dataSync()]).toEqual([0, -1]);
    expect([...variables.b.dataSync()]).toEqual([1, 1]);
    const { params } = (await wrapper.stateDict()).optimizer;
    expect(params.map(({ step }) => step)).toEqual([1, 0]);
  });

  test("untrainable and frozen variables are left alone, and none at all is no error", async () => {
    await use(path);
    const variables = { a: tf.variable(tf.ones([2])), b: tf.variable(tf.ones([2]), false) };
    const wrapper = make(variables);
    expect(wrapper.optimizer.frozen).toEqual(["b"]);
    const loss = linearLoss(variables, { a: [1, 1], b: [1, 1] });
    wrapper.updateParams(loss);
    wrapper.freeze(["a"]);
    const { loss: value } = wrapper.updateParams(loss, { returnLoss: true });
    // Only a took a step, and only one: 0 + 0 + 1 + 1.
    expect(value.dataSync()[0]).toBe(2);
    value.dispose();
    expect([...variables.a.dataSync()]).toEqual([0, 0]);
    expect([...variables.b.dataSync()]).toEqual([1, 1]);
  });

  test("gradients are read without waiting where steps are in place, and nowhere else", async () => {
    await use(path);
    const variables = {
      a: tf.variable(tf.ones([2])),
      b: tf.variable(tf.ones([3])),
      c: tf.variable(tf.ones([1])),
    };
    const { optimizer } = make(variables);
    optimizer.backward(linearLoss(variables, { b: [1, 2, 3], a: [4, 5] }));
    expect(optimizer.readGradientsSync !== undefined).toBe(path.inPlace);
    if (optimizer.readGradientsSync === undefined) return;
    const { numTensors } = tf.memory();
    const read = optimizer.readGradientsSync();
    expect(read).toEqual({ a: Float32Array.of(4, 5), b: Float32Array.of(1, 2, 3) });
    expect(Object.keys(read)).toEqual(["a", "b"]);
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  test("the loss scale multiplies before the backward pass", async () => {
    await use(path);
    const w = tf.variable(tf.scalar(1));
    const wrapper = make({ w }, 1024);
    // 2⁻¹⁴⁹ × 2⁻¹ is 0 in float32, unless 1024 was multiplied in before.
    const tiny = 2 ** -149;
    wrapper.updateParams(() => tf.mul(tf.mul(tf.mul(w, tiny), 0.5), 2));
    wrapper.backward(() => tf.mul(tf.mul(w, tiny), 0.5));
    expect((await wrapper.optimizer.readGradients())["w"]).toEqual(Float32Array.of(1024 * tiny * 0.5));
  });

  test.each([
    ["a vector", () => tf.ones([2])],
    ["an integer", () => tf.scalar(1, "int32")],
    ["a number", () => 1],
    ["nothing", () => undefined],
    ["a promise", () => Promise.resolve(tf.scalar(1))],
    ["a promise that rejects", () => Promise.reject(new Error("late"))],
  ])("a closure that returns %s is refused, and nothing has changed", async (_, loss) => {
    await use(path);
    const w = tf.variable(tf.ones([2]));
    const wrapper = make({ w });
    const error = thrownBy(() => wrapper.updateParams(loss as () => tf.Scalar));
    expect(error.code).toBe("invalid-loss");
    expect(error.message).toContain("float32 scalar");
    expect(wrapper.innerCount).toBe(0);
    expect(await wrapper.optimizer.readGradients()).toEqual({});
  });

  test("a loss without a way to a variable is an error that says so", async () => {
    await use(path);
    const w = tf.variable(tf.ones([2]));
    const wrapper = make({ w });
    const before = tf.memory().numTensors;
    const error = thrownBy(() => wrapper.updateParams(() => tf.sum(tf.ones([2]))));
    expect(error.code).toBe("no-gradient");
    expect(tf.memory().numTensors).toBe(before);
  });

  test("a disposed variable is refused before anything changes", async () => {
    await use(path);
    const variables = { a: tf.variable(tf.ones([2])), b: tf.variable(tf.ones([2])) };
    const wrapper = make(variables);
    wrapper.backward(linearLoss(variables, { a: [1, 1], b: [1, 1] }));
    variables.b.dispose();
    expect(thrownBy(() => wrapper.step()).message).toContain('"b"');
    expect(thrownBy(() => wrapper.backward(linearLoss(variables, { a: [1, 1] }))).code).toBe(
      "invalid-parameter",
    );
    expect([...variables.a.dataSync()]).toEqual([1, 1]);
  });

  test("the caller's own error comes through as it is", async () => {
    await use(path);
    const w = tf.variable(tf.ones([2]));
    const error = new Error("no data");
    const thrown = vi.fn<() => tf.Scalar>(() => {
      throw error;
    });
    expect(() => make({ w }).updateParams(thrown)).toThrow(error);
    expect(thrown).toHaveBeenCalledTimes(1);
  });

  test("what goes on during a backward pass is refused, and leaves nothing behind", async () => {
    await use(path);
    const w = tf.variable(tf.ones([2]));
    const wrapper = make({ w });
    const before = tf.memory().numTensors;
    const error = thrownBy(() =>
      wrapper.updateParams(() => {
        const loss = tf.sum(tf.square(w));
        wrapper.step();
        return loss as tf.Scalar;
      }),
    );
    expect(error.code).toBe("reentrant");
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe("without gradients", () => {
  const w = (): tf.Variable => tf.variable(tf.ones([2]));

  test("an operation that has none is named", async () => {
    await use({ backend: "cpu" });
    const variable = w();
    const optimizer = tfjsOptimizer(adam(), { variable });
    const before = tf.memory().numTensors;
    const error = thrownBy(() => optimizer.backward(() => tf.sum(tf.reverse(tf.cumprod(variable)))));
    expect(error.code).toBe("no-gradient");
    expect(error.message).toContain("Cumprod");
    expect(error.message).toContain("tf.customGrad");
    expect(tf.memory().numTensors).toBe(before);
  });

  test("an operation whose gradient the backend cannot run is named", async () => {
    await use({ backend: "wasm" });
    const variable = tf.variable(tf.ones([1, 1, 1, 1]));
    const optimizer = tfjsOptimizer(adam(), { variable });
    const loss = (): tf.Scalar =>
      tf.sum(tf.conv2d(tf.ones<tf.Rank.R4>([1, 2, 2, 1]), variable as tf.Tensor4D, 1, "same"));
    const error = thrownBy(() => optimizer.backward(loss));
    expect(error.code).toBe("no-gradient");
    expect(error.message).toContain("Conv2DBackpropFilter");
  });
});
