import type { OptimWrapper } from "@mm/optim-core";
import { createOptimWrapper } from "@mm/optim-core";
import { adam, type AdamHyperparameters } from "@mm/optim-rules";
import { tfjsOptimizer as byOps } from "@mm/optim-tfjs";
import { snapshot, tfjsOptimizer, type TfjsLoss } from "@mm/optim-webgpu/tfjs";
import type * as tf from "@tensorflow/tfjs-core";
import { expectTypeOf, test } from "vitest";

declare const w: tf.Variable<tf.Rank.R2>;

test("nothing but the import changes", () => {
  expectTypeOf(tfjsOptimizer).toEqualTypeOf(byOps);
  expectTypeOf(createOptimWrapper(tfjsOptimizer(adam(), { w }))).toEqualTypeOf<
    OptimWrapper<TfjsLoss, tf.Scalar, AdamHyperparameters>
  >();
});

test("a snapshot has the shape of its tensor, and is no variable", () => {
  expectTypeOf(snapshot(w)).toEqualTypeOf<tf.Tensor2D>();
});
