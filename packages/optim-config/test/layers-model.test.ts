import "./tfjs.ts";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";
import { buildOptimWrapper, explain, joinModels } from "@mm/optim-config";
import { adamw, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { afterEach, describe, expect, test } from "vitest";
import { describeModel } from "../src/model/describe-model.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: tfjsOptimizer, rules: { adamw, sgd } };
const described = (model: unknown): readonly (readonly [string, string])[] =>
  describeModel(model, [], "model").map(({ name, kinds }) => [name, kinds.join(" ")]);

afterEach(() => tf.disposeVariables());

// The default initializer of recurrent kernels needs chained methods, which tfjs-core alone does not register.
const plain = { units: 2, recurrentInitializer: "zeros" } as const;

/** A small image classifier with one of each. */
function createClassifier(): layers.Sequential {
  const model = layers.sequential();
  model.add(layers.layers.conv2d({ name: "conv", inputShape: [8, 8, 3], filters: 4, kernelSize: 3 }));
  model.add(layers.layers.batchNormalization({ name: "bn" }));
  model.add(layers.layers.depthwiseConv2d({ name: "dw", kernelSize: 3 }));
  model.add(layers.layers.separableConv2d({ name: "sep", filters: 5, kernelSize: 3 }));
  model.add(layers.layers.layerNormalization({ name: "ln" }));
  model.add(layers.layers.flatten({ name: "flat" }));
  model.add(layers.layers.prelu({ name: "act" }));
  model.add(layers.layers.dense({ name: "head", units: 2 }));
  return model;
}

describe("a LayersModel", () => {
  test("tells names and kinds by its layers; moving statistics are no parameters", () => {
    expect(described(createClassifier())).toEqual([
      ["conv.kernel", ""],
      ["conv.bias", "bias flat"],
      ["bn.gamma", "norm flat"],
      ["bn.beta", "bias norm flat"],
      ["dw.depthwise_kernel", "depthwise"],
      ["dw.bias", "bias depthwise flat"],
      ["sep.depthwise_kernel", "depthwise"],
      ["sep.pointwise_kernel", ""],
      ["sep.bias", "bias flat"],
      ["ln.gamma", "norm flat"],
      ["ln.beta", "bias norm flat"],
      ["act.alpha", "flat"],
      ["head.kernel", ""],
      ["head.bias", "bias flat"],
    ]);
  });

  test("tells the table of an embedding, which a matcher can ask for", () => {
    const build = () => {
      const model = layers.sequential();
      model.add(layers.layers.embedding({ name: "tokens", inputDim: 5, outputDim: 2, inputLength: 3 }));
      model.add(layers.layers.flatten({ name: "flat" }));
      model.add(layers.layers.dense({ name: "head", units: 1 }));
      return model;
    };
    expect(described(build())).toEqual([
      ["tokens.embeddings", "embedding"],
      ["head.kernel", ""],
      ["head.bias", "bias flat"],
    ]);
    const optim = buildOptimWrapper(
      build(),
      {
        optimizer: { type: "adamw", lr: 1, weightDecay: 0.5 },
        paramwise: [{ match: { kind: "embedding" }, decayMult: 0 }],
      },
      parts,
    );
    expect(explain(optim).map(({ weightDecay }) => weightDecay)).toEqual([0, 0.5, 0.5]);
    optim.dispose();
  });

  test("has the same names when it is built a second time, which its variables do not", () => {
    const [first, second] = [createClassifier(), createClassifier()];
    expect(described(second)).toEqual(described(first));
    expect(second.weights[0]?.name).not.toBe(first.weights[0]?.name);
  });

  test("may hold models, wrappers, recurrent layers and stacked cells", () => {
    const inner = layers.sequential({ name: "inner" });
    inner.add(layers.layers.dense({ name: "a", inputShape: [4], units: 3 }));
    const model = layers.sequential();
    model.add(layers.layers.timeDistributed({ name: "td", inputShape: [5, 4], layer: inner }));
    model.add(
      layers.layers.bidirectional({
        name: "bi",
        layer: layers.layers.gru({ ...plain, name: "gru", returnSequences: true }),
        mergeMode: "concat",
      }),
    );
    const cells = ["c0", "c1"].map((name) => layers.layers.lstmCell({ ...plain, name }));
    model.add(layers.layers.rnn({ name: "stack", cell: cells, returnSequences: true }));
    model.add(layers.layers.lstm({ ...plain, name: "lstm" }));
    const recurrent = (path: string): readonly string[] =>
      ["kernel", "recurrent_kernel", "bias"].map((weight) => `${path}.${weight}`);
    expect(described(model).map(([name]) => name)).toEqual([
      "td.inner.a.kernel",
      "td.inner.a.bias",
      ...recurrent("bi.forward_gru"),
      ...recurrent("bi.backward_gru"),
      ...recurrent("stack.c0"),
      ...recurrent("stack.c1"),
      ...recurrent("lstm"),
    ]);
  });

  test("a frozen layer is in the optimizer, and takes no step until it is unfrozen", () => {
    const model = layers.sequential();
    const ones = { units: 2, useBias: false, kernelInitializer: "ones" } as const;
    model.add(layers.layers.dense({ ...ones, name: "body", inputShape: [2] }));
    model.add(layers.layers.dense({ ...ones, name: "head" }));
    const [body, head] = model.layers as [layers.layers.Layer, layers.layers.Layer];
    body.trainable = false;
    const optim = buildOptimWrapper(model, { optimizer: { type: "sgd", lr: 0.25 } }, parts);
    expect(explain(optim).map(({ parameter, frozen }) => [parameter, frozen])).toEqual([
      ["body.kernel", true],
      ["head.kernel", false],
    ]);
    const kernel = ({ weights }: layers.layers.Layer): tf.Tensor =>
      (weights[0] as layers.LayerVariable).read();
    // The gradient of a sum is 1: a step takes 0.25 away.
    const sum = (): tf.Scalar => tf.add(tf.sum(kernel(body)), tf.sum(kernel(head)));
    optim.updateParams(sum);
    expect([kernel(body).dataSync()[0], kernel(head).dataSync()[0]]).toEqual([1, 0.75]);
    body.trainable = true;
    optim.updateParams(sum);
    expect([kernel(body).dataSync()[0], kernel(head).dataSync()[0]]).toEqual([0.75, 0.5]);
    expect(explain(optim).some(({ frozen }) => frozen)).toBe(false);
    optim.dispose();
  });

  test("what a recurrent layer freezes without telling its variables is frozen too, until the layer thaws", () => {
    const model = layers.sequential();
    model.add(layers.layers.simpleRNN({ ...plain, name: "rnn", inputShape: [3, 2] }));
    model.add(layers.layers.dense({ name: "head", units: 1 }));
    const [rnn] = model.layers as [layers.layers.Layer];
    rnn.trainable = false;
    const optim = buildOptimWrapper(model, { optimizer: { type: "sgd" } }, parts);
    expect(optim.optimizer.frozen).toEqual(["rnn.kernel", "rnn.recurrent_kernel", "rnn.bias"]);
    rnn.trainable = true;
    expect(optim.optimizer.frozen).toEqual([]);
    // A parameter that freeze() froze is another matter: either freezes.
    optim.freeze(["rnn.bias"]);
    expect(optim.optimizer.frozen).toEqual(["rnn.bias"]);
    rnn.trainable = false;
    optim.unfreeze(["rnn.bias"]);
    expect(optim.optimizer.frozen).toEqual(["rnn.kernel", "rnn.recurrent_kernel", "rnn.bias"]);
    optim.dispose();
  });

  test("a layer that was built frozen trains once it is trainable", () => {
    const ones = { units: 1, useBias: false, kernelInitializer: "ones" } as const;
    const model = layers.sequential();
    model.add(layers.layers.dense({ ...ones, name: "body", inputShape: [1], trainable: false }));
    model.add(layers.layers.dense({ ...ones, name: "head" }));
    const [body, head] = model.layers as [layers.layers.Layer, layers.layers.Layer];
    const optim = buildOptimWrapper(model, { optimizer: { type: "sgd", lr: 0.25 } }, parts);
    const values = (): readonly (number | undefined)[] =>
      [body, head].map(({ weights }) => (weights[0] as layers.LayerVariable).read().dataSync()[0]);
    const loss = (): tf.Scalar =>
      tf.addN([body, head].map(({ weights }) => tf.sum((weights[0] as layers.LayerVariable).read())));
    expect(explain(optim).map(({ frozen }) => frozen)).toEqual([true, false]);
    optim.updateParams(loss);
    expect(values()).toEqual([1, 0.75]);
    body.trainable = true;
    optim.updateParams(loss);
    expect(values()).toEqual([0.75, 0.5]);
    body.trainable = false;
    optim.updateParams(loss);
    expect(values()).toEqual([0.75, 0.25]);
    optim.dispose();
  });

  test("a rule of the configuration freezes beside the layers, and does not thaw what they freeze", () => {
    const model = layers.sequential();
    model.add(layers.layers.dense({ name: "body", inputShape: [1], units: 1, trainable: false }));
    model.add(layers.layers.dense({ name: "head", units: 1 }));
    const config = {
      optimizer: { type: "sgd" },
      paramwise: [
        { match: "body.*", frozen: false },
        { match: "head.*", frozen: true },
      ],
    } as const;
    const optim = buildOptimWrapper(model, config, parts);
    expect(optim.optimizer.frozen).toHaveLength(4);
    for (const layer of model.layers) layer.trainable = true;
    expect(optim.optimizer.frozen).toEqual(["head.kernel", "head.bias"]);
    optim.dispose();
  });

  test("what is frozen is what the model does not count as trainable, whichever layers are", () => {
    const inner = layers.sequential({ name: "inner" });
    const innermost = layers.sequential({ name: "innermost" });
    innermost.add(layers.layers.dense({ name: "deep", inputShape: [4], units: 3 }));
    inner.add(layers.layers.dense({ name: "a", inputShape: [4], units: 4 }));
    inner.add(innermost);
    const model = layers.sequential();
    model.add(layers.layers.timeDistributed({ name: "td", inputShape: [5, 4], layer: inner }));
    const gru = layers.layers.gru({ ...plain, name: "gru", returnSequences: true });
    const bi = layers.layers.bidirectional({ name: "bi", layer: gru, mergeMode: "concat" });
    model.add(bi);
    const cells = ["c0", "c1"].map((name) => layers.layers.lstmCell({ ...plain, name }));
    model.add(layers.layers.rnn({ name: "stack", cell: cells, returnSequences: true }));
    model.add(layers.layers.lstm({ ...plain, name: "lstm" }));
    model.add(layers.layers.batchNormalization({ name: "bn" }));
    const { forwardLayer } = bi as unknown as { readonly forwardLayer: layers.layers.Layer };
    const optim = buildOptimWrapper(model, { optimizer: { type: "sgd" } }, parts);
    const all = optim.optimizer.parameters.length;
    const flags = [model, ...model.layers, inner, innermost, ...cells, forwardLayer];
    for (const layer of flags) {
      for (const trainable of [false, true]) {
        layer.trainable = trainable;
        // Moving statistics are never trainable.
        expect(all - optim.optimizer.frozen.length).toBe(model.trainableWeights.length);
      }
    }
    optim.dispose();
  });

  test("without weights is refused", () => {
    const model = layers.sequential();
    model.add(layers.layers.flatten({ inputShape: [2, 2] }));
    const { code, message } = thrownBy(() => buildOptimWrapper(model, { optimizer: { type: "sgd" } }, parts));
    expect(code).toBe("empty-parameters");
    expect(message).toMatch(/^buildOptimWrapper: model: expected at least one parameter/);
  });

  test("that shares a layer with another has its parameters once", () => {
    const shared = layers.layers.dense({ name: "shared", units: 1, useBias: false });
    const modelOf = (name: string): layers.LayersModel => {
      const input = layers.input({ shape: [2], name: `${name}-in` });
      return layers.model({ inputs: input, outputs: shared.apply(input) as layers.SymbolicTensor, name });
    };
    const both = joinModels({ a: modelOf("a"), b: modelOf("b") });
    const optim = buildOptimWrapper(both, { optimizer: { type: "sgd" } }, parts);
    expect(explain(optim)).toMatchObject([{ parameter: "a.shared.kernel", aliases: ["b.shared.kernel"] }]);
    optim.dispose();
    // MMEngine's options refuse it, unless they are told not to.
    const config = (bypassDuplicate: boolean) =>
      ({ optimizer: { type: "sgd", lr: 0.1 }, paramwise: { biasLrMult: 2, bypassDuplicate } }) as const;
    const { code, message } = thrownBy(() => buildOptimWrapper(both, config(false), parts));
    expect(code).toBe("duplicate-parameter");
    expect(message).toContain('["a.shared.kernel", "b.shared.kernel"]');
    const bypassed = buildOptimWrapper(both, config(true), parts);
    expect(bypassed.paramGroups.map(({ params }) => params)).toEqual([["a.shared.kernel"]]);
    bypassed.dispose();
  });
});

test("bias, normalisation and depthwise options find the layers of a model", () => {
  const config = {
    optimizer: { type: "adamw", lr: 0.5, weightDecay: 0.25 },
    paramwise: { biasLrMult: 2, normDecayMult: 0, dwconvDecayMult: 0.5, flatDecayMult: 4 },
  } as const;
  const optim = buildOptimWrapper(createClassifier(), config, parts);
  const rows = explain(optim).map(({ parameter, lr, weightDecay, why }) => [
    parameter,
    lr,
    weightDecay,
    why.join(),
  ]);
  expect(rows).toEqual([
    ["conv.kernel", 0.5, 0.25, ""],
    ["conv.bias", 1, 1, "biasLrMult,flatDecayMult"],
    ["bn.gamma", 0.5, 0, "normDecayMult"],
    ["bn.beta", 0.5, 0, "normDecayMult"],
    ["dw.depthwise_kernel", 0.5, 0.125, "dwconvDecayMult"],
    ["dw.bias", 1, 0.125, "biasLrMult,dwconvDecayMult"],
    ["sep.depthwise_kernel", 0.5, 0.125, "dwconvDecayMult"],
    ["sep.pointwise_kernel", 0.5, 0.25, ""],
    ["sep.bias", 1, 1, "biasLrMult,flatDecayMult"],
    ["ln.gamma", 0.5, 0, "normDecayMult"],
    ["ln.beta", 0.5, 0, "normDecayMult"],
    ["act.alpha", 0.5, 1, "flatDecayMult"],
    ["head.kernel", 0.5, 0.25, ""],
    ["head.bias", 1, 1, "biasLrMult,flatDecayMult"],
  ]);
  optim.dispose();
});

test("variables by name tell by their shapes what is flat, and by their names what is a bias", () => {
  const variables = { "fc.kernel": tf.variable(tf.zeros([2, 2])), "fc.bias": tf.variable(tf.zeros([2])) };
  const config = {
    optimizer: { type: "sgd", lr: 1, weightDecay: 1 },
    paramwise: { flatDecayMult: 0, biasLrMult: 2 },
  } as const;
  const optim = buildOptimWrapper(variables, config, parts);
  expect(optim.paramGroups.map(({ name, lr, weightDecay }) => [name, lr, weightDecay])).toEqual([
    ["fc.kernel", 1, 1],
    ["fc.bias", 2, 0],
  ]);
  optim.dispose();
});
