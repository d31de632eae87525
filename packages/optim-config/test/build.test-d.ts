import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";
import type { LayersModel } from "@tensorflow/tfjs-layers";
import type { OptimWrapper } from "@mm/optim-core";
import { buildOptimWrapper, buildOptimWrapperDict, joinModels, type ModelKind } from "@mm/optim-config";
import { adamw, type AdamwHyperparameters, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { tfjsOptimizer, type TfjsLoss } from "@mm/optim-tfjs";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";
import { describe, expectTypeOf, test } from "vitest";

declare const model: LayersModel;
declare const variables: { readonly [name: string]: tf.Variable };
declare const arrays: { readonly w: Float32Array; readonly b: Float32Array };
const rules = { adamw, sgd };
const onTfjs = { optimizer: tfjsOptimizer, rules };
const onWasm = { optimizer: wasmOptimizer, rules };

describe("a wrapper", () => {
  test("has the types of its backend and of its rule", () => {
    const optim = buildOptimWrapper(model, { optimizer: { type: "adamw", lr: 1e-3 } }, onTfjs);
    expectTypeOf(optim).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>>();
    const named = buildOptimWrapper(variables, { optimizer: { type: "sgd" } }, onTfjs);
    expectTypeOf(named).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, SgdHyperparameters>>();
    const wasm = buildOptimWrapper(arrays, { optimizer: { type: "sgd" } }, onWasm);
    expectTypeOf(wasm).toEqualTypeOf<OptimWrapper<WasmLoss, number, SgdHyperparameters>>();
  });
  test("x", () => {
    const optim = buildOptimWrapperDict(
      joinModels({ a: variables, b: variables }),
      {
        wrappers: {
          a: { optimizer: { type: "adamw", lr: 1 } },
          b: { optimizer: { type: "sgd", momentum: 0.9 } },
        },
      },
      onTfjs,
    );
    expectTypeOf(optim.get("a")).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>>();
    // @ts-expect-error x
    buildOptimWrapper(arrays, { optimizer: { type: "sgd" } }, onTfjs);
    // @ts-expect-error x
    buildOptimWrapper(variables, { optimizer: { type: "adamx" } }, onTfjs);
    // @ts-expect-error x
    buildOptimWrapper(variables, { optimizer: { type: "adamw", momentum: 0.9 } }, onTfjs);
    // @ts-expect-error x
    buildOptimWrapper(variables, { optimizer: { type: "adamw" }, accumulate: 2 }, onTfjs);
  });
});
