import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adamw, type AdamwHyperparameters, sgd } from "@mm/optim-rules";
import {
  registerTfOptimizer,
  type TfjsLoss,
  tfjsOptimizer,
  type TfOptimizer,
  toTfOptimizer,
} from "@mm/optim-tfjs";
import { wasmOptimizer } from "@mm/optim-wasm";
import * as tf from "@tensorflow/tfjs-core";
import type * as tfl from "@tensorflow/tfjs-layers";
import { describe, expectTypeOf, test } from "vitest";

declare const model: tfl.LayersModel;
declare const w: tf.Variable;

describe("toTfOptimizer", () => {
  const create = (variables: readonly tf.Variable[]) =>
    createOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), variables));
  const optimizer = toTfOptimizer(create);

  test("gives what a model compiles with", () => {
    expectTypeOf(optimizer).toExtend<tf.Optimizer>();
    model.compile({ optimizer, loss: "meanSquaredError" });
    expectTypeOf(optimizer.minimize(() => tf.sum(w), true, [w])).toEqualTypeOf<tf.Scalar | null>();
  });

  test("keeps the type of the wrapper, which is there once training began", () => {
    type Wrapper = OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>;
    expectTypeOf(optimizer).toEqualTypeOf<TfOptimizer<Wrapper>>();
    expectTypeOf(optimizer.wrapper).toEqualTypeOf<Wrapper | undefined>();
    expectTypeOf(optimizer.wrapper?.paramGroups[0].weightDecay).toEqualTypeOf<number | undefined>();
    // @ts-expect-error AdamW has no momentum.
    void optimizer.wrapper?.paramGroups[0].momentum;
    // @ts-expect-error Not made before training: it may be undefined.
    optimizer.wrapper.flush();
  });

  test("groups are made of the variables", () => {
    toTfOptimizer((variables) =>
      createOptimWrapper(
        tfjsOptimizer(adamw(), [
          { name: "kernels", params: variables.filter(({ rank }) => rank > 1) },
          { name: "biases", params: variables.filter(({ rank }) => rank === 1), weightDecay: 0 },
        ]),
      ),
    );
  });

  test("takes a function that makes a wrapper over tfjs variables, and nothing else", () => {
    // @ts-expect-error An optimizer without createOptimWrapper.
    toTfOptimizer((variables) => tfjsOptimizer(sgd(), variables));
    // @ts-expect-error A wrapper over arrays: its losses are no tensors.
    toTfOptimizer(() => createOptimWrapper(wasmOptimizer(sgd(), { w: new Float32Array(1) })));
    // @ts-expect-error A wrapper that is there already: its variables are not those of the model.
    toTfOptimizer(createOptimWrapper(tfjsOptimizer(sgd(), [w])));
    // @ts-expect-error A promise: training cannot wait for it.
    toTfOptimizer((variables) => Promise.resolve(create(variables)));
    toTfOptimizer(create, { name: "Critic" });
    // @ts-expect-error There is no such option.
    toTfOptimizer(create, { className: "Critic" });
  });

  test("is registered by the same function", () => {
    expectTypeOf(registerTfOptimizer(create, { name: "Critic" })).toBeVoid();
    // @ts-expect-error tfjs makes a new one at each load: it needs the function.
    registerTfOptimizer(optimizer);
  });
});
