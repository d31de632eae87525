import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { beforeEach, describe, expect, test } from "vitest";
import { linearLoss, use } from "./backends.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

beforeEach(() => use({ backend: "cpu" }));

describe("ways to write parameters", () => {
  const variable = (name?: string): tf.Variable => tf.variable(tf.ones([2]), true, name);

  test("by name", () => {
    const optimizer = tfjsOptimizer(sgd(), { w: variable(), b: variable() });
    expect(optimizer.parameters).toEqual([
      { name: "w", shape: [2], group: "0" },
      { name: "b", shape: [2], group: "0" },
    ]);
  });

  test("a list of variables goes by their own names", () => {
    const optimizer = tfjsOptimizer(sgd(), [variable("kernel"), variable("bias")]);
    expect(optimizer.parameters.map(({ name }) => name)).toEqual(["kernel", "bias"]);
  });

  test("groups hold records or lists, each with hyperparameters of its own", () => {
    const optimizer = tfjsOptimizer(adam({ lr: 1e-3 }), [
      { name: "body", params: { w: variable() }, betas: [0.5, 0.9] },
      { params: [variable("head")], lr: 1e-2 },
    ]);
    expect(optimizer.paramGroups.map(({ name, params, lr, betas }) => ({ name, params, lr, betas }))).toEqual(
      [
        { name: "body", params: ["w"], lr: 1e-3, betas: [0.5, 0.9] },
        { name: "1", params: ["head"], lr: 1e-2, betas: [0.9, 0.999] },
      ],
    );
  });

  test("a group that is added later, too", () => {
    const optimizer = tfjsOptimizer(sgd(), { w: variable() });
    optimizer.addParamGroup({ params: [variable("late")] as never, lr: 0.5 });
    expect(optimizer.parameters.map(({ name }) => name)).toEqual(["w", "late"]);
    expect(optimizer.paramGroups[1]?.lr).toBe(0.5);
  });

  test("the weights of a tfjs-layers model train it", () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 3, inputShape: [2], name: "first", kernelInitializer: "ones" }),
        tfl.layers.dense({ units: 1, name: "second", kernelInitializer: "ones" }),
      ],
    });
    const weights = model.trainableWeights;
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.1 }), weights));
    expect(wrapper.optimizer.parameters.map(({ name }) => name)).toEqual(weights.map(({ name }) => name));
    expect(wrapper.optimizer.parameters.map(({ shape }) => shape)).toEqual([[2, 3], [3], [3, 1], [1]]);
    const x = tf.tensor2d([1, 2], [1, 2]);
    const { loss } = wrapper.updateParams(() => tf.sum(model.apply(x) as tf.Tensor), { returnLoss: true });
    // Each unit of the first layer gives 3, the second their sum; d/dx of the sum reaches every bias of the first as 1.
    expect(loss.dataSync()[0]).toBe(9);
    expect([...model.getLayer("first").getWeights()[1]!.dataSync()]).toEqual(
      [-0.1, -0.1, -0.1].map(Math.fround),
    );
    wrapper.dispose();
  });

  test("layers may share a name with a list only once", () => {
    const w = variable("twice");
    expect(thrownBy(() => tfjsOptimizer(sgd(), [w, w])).code).toBe("duplicate-parameter");
    expect(thrownBy(() => tfjsOptimizer(sgd(), { a: w, b: w })).code).toBe("duplicate-parameter");
  });
});

describe("what is no parameter is refused, at construction", () => {
  const disposed = (): tf.Variable => {
    const variable = tf.variable(tf.ones([2]));
    variable.dispose();
    return variable;
  };
  test.each([
    ["a tensor", () => ({ w: tf.ones([2]) }), "tf.variable(tensor)"],
    ["integers", () => ({ w: tf.variable(tf.ones([2], "int32")) }), "float32"],
    ["booleans", () => ({ w: tf.variable(tf.ones([2], "bool")) }), "float32"],
    ["a disposed variable", () => ({ w: disposed() }), "not disposed"],
    ["an array", () => ({ w: [1, 2] }), "tf.Variable"],
    ["nothing", () => ({ w: undefined }), "tf.Variable"],
    ["a name", () => "w", "in a list, by name"],
    ["null", () => null, "in a list, by name"],
    ["a list with a tensor", () => [tf.ones([2])], "tf.variable(tensor)"],
    [
      "a list with a group and a tensor",
      () => [{ params: [tf.variable(tf.ones([2]))] }, tf.ones([2])],
      "params",
    ],
  ])("%s", (_, parameters, words) => {
    const error = thrownBy(() => tfjsOptimizer(sgd(), parameters() as never));
    expect(error.code).toBe("invalid-parameter");
    expect(error.message).toContain(words);
  });

  test("a disposed layer weight", () => {
    const layer = tfl.layers.dense({ units: 1, inputShape: [2] });
    layer.apply(tf.zeros([1, 2]));
    const weights = layer.trainableWeights;
    layer.dispose();
    expect(thrownBy(() => tfjsOptimizer(sgd(), weights)).code).toBe("invalid-parameter");
  });

  test.each([
    ["{}", {}],
    ["[]", []],
    ["a group without one", [{ params: {} }]],
  ])("no parameter: %s", (_, parameters) => {
    expect(thrownBy(() => tfjsOptimizer(sgd(), parameters)).code).toBe("empty-parameters");
  });

  test("options that nobody reads, or with another value", () => {
    const w = tf.variable(tf.ones([2]));
    expect(thrownBy(() => tfjsOptimizer(sgd(), { w }, { lower: "ops" } as never)).code).toBe(
      "unknown-option",
    );
    expect(thrownBy(() => tfjsOptimizer(sgd(), { w }, { lowering: "webgl" } as never)).code).toBe(
      "invalid-option",
    );
    expect(thrownBy(() => tfjsOptimizer(sgd(), { w }, null as never)).code).toBe("invalid-option");
    expect(thrownBy(() => tfjsOptimizer({} as never, { w })).code).toBe("invalid-rule");
    expect(thrownBy(() => tfjsOptimizer(sgd(), [{ params: { w }, momentun: 0.9 } as never])).code).toBe(
      "unknown-option",
    );
  });
});

test("an empty tensor is trained like any other", async () => {
  for (const backend of ["cpu", "wasm"]) {
    await use({ backend });
    for (const lowering of ["auto", "ops"] as const) {
      const variables = { none: tf.variable(tf.zeros([0, 3])), w: tf.variable(tf.zeros([1])) };
      const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 1 }), variables, { lowering }), {
        clipGrad: { maxNorm: 1 },
        lossScale: "dynamic",
      });
      for (let step = 0; step < 2; step += 1)
        wrapper.updateParams(linearLoss(variables, { none: [], w: [1] }));
      expect(variables.w.dataSync()[0]).toBeCloseTo(-2, 5);
      expect((await wrapper.readMetrics()).gradNorm).toBeCloseTo(1, 6);
      wrapper.dispose();
    }
  }
});
