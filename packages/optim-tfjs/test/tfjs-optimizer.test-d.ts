import { createOptimWrapper, type Optimizer, type OptimWrapper } from "@mm/optim-core";
import { adamw, type AdamwHyperparameters, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { type NativeHyperparameters, tfjsOptimizer, type TfjsLoss } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import type * as tfl from "@tensorflow/tfjs-layers";
import { describe, expectTypeOf, test } from "vitest";

declare const w: tf.Variable<tf.Rank.R2>;
declare const model: tfl.LayersModel;

describe("tfjsOptimizer", () => {
  test("takes its hyperparameters from the rule", () => {
    const optimizer = tfjsOptimizer(adamw(), { w });
    expectTypeOf(optimizer).toEqualTypeOf<Optimizer<TfjsLoss, tf.Scalar, AdamwHyperparameters>>();
    expectTypeOf(optimizer.paramGroups[0].weightDecay).toBeNumber();
    // @ts-expect-error AdamW has no momentum.
    void optimizer.paramGroups[0].momentum;
  });

  test("takes records, lists, layer weights and groups", () => {
    tfjsOptimizer(adamw(), [w]);
    tfjsOptimizer(adamw(), model.trainableWeights);
    tfjsOptimizer(adamw(), [
      { params: { w }, lr: 1e-3 },
      { name: "head", params: model.trainableWeights, betas: [0.5, 0.9] },
    ]);
    tfjsOptimizer(adamw(), { w }, { lowering: "ops" });
    // @ts-expect-error A tensor is no variable.
    tfjsOptimizer(adamw(), { w: tf.ones([2]) });
    // @ts-expect-error SGD has no betas.
    tfjsOptimizer(sgd(), [{ params: { w }, betas: [0.5, 0.9] }]);
    // @ts-expect-error There is no such lowering.
    tfjsOptimizer(adamw(), { w }, { lowering: "webgl" });
  });

  test("takes groups with rules of their own, typed by each", () => {
    const optimizer = tfjsOptimizer(adamw(), [
      { params: { w }, rule: sgd(), momentum: 0.9 },
      { params: model.trainableWeights, betas: [0.5, 0.9] },
    ]);
    expectTypeOf(optimizer).toEqualTypeOf<
      Optimizer<TfjsLoss, tf.Scalar, AdamwHyperparameters, AdamwHyperparameters | SgdHyperparameters>
    >();
    // @ts-expect-error SGD has no betas.
    tfjsOptimizer(adamw(), [{ params: { w }, rule: sgd(), betas: [0.5, 0.9] }]);
  });

  test("wraps a tf.Optimizer, of which only the learning rate is live", () => {
    const optimizer = tfjsOptimizer(tf.train.adam(1e-3), { w });
    expectTypeOf(optimizer).toEqualTypeOf<Optimizer<TfjsLoss, tf.Scalar, NativeHyperparameters>>();
    tfjsOptimizer(tf.train.sgd(1), [w]);
    // @ts-expect-error It has one lowering, its own.
    tfjsOptimizer(tf.train.sgd(1), [w], { lowering: "ops" });
  });
});

describe("loss closures", () => {
  const wrapper = createOptimWrapper(tfjsOptimizer(adamw(), { w }));
  expectTypeOf(wrapper).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>>();

  test("give a scalar", () => {
    wrapper.updateParams(() => tf.mean(tf.square(w)));
    wrapper.updateParams(() => tf.losses.meanSquaredError(w, w));
    const { loss } = wrapper.updateParams(() => tf.sum(w), { returnLoss: true });
    expectTypeOf(loss).toEqualTypeOf<tf.Scalar>();
    expectTypeOf(wrapper.updateParams(() => tf.sum(w)).loss).toEqualTypeOf<tf.Scalar | undefined>();
  });

  test("are synchronous, and return something", () => {
    // @ts-expect-error A promise is no scalar: data is awaited before.
    wrapper.updateParams(async () => tf.mean(w));
    // @ts-expect-error A closure without a loss.
    wrapper.updateParams(() => {});
    // @ts-expect-error The loss is a tensor: its gradient is needed.
    wrapper.updateParams(() => 1);
    // @ts-expect-error A vector is no loss.
    wrapper.updateParams(() => tf.tensor1d([1]));
  });
});
