import type * as tf from "@tensorflow/tfjs-core";
import type { LayersModel } from "@tensorflow/tfjs-layers";
import {
  buildOptimWrapper,
  buildOptimWrapperDict,
  buildScheduler,
  buildSchedulerDict,
  joinModels,
  type ModelKind,
  type OptimWrapperConfig,
  parseOptimWrapperConfig,
  parseOptimWrapperDictConfig,
  type RuleName,
} from "@mm/optim-config";
import type { OptimWrapper } from "@mm/optim-core";
import * as everyRule from "@mm/optim-rules";
import { adamw, type AdamwHyperparameters, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { cosine, linear, type Scheduler } from "@mm/optim-schedule";
import { tfjsOptimizer, type TfjsLoss } from "@mm/optim-tfjs";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";
import { webgpuOptimizer, type WebgpuLoss } from "@mm/optim-webgpu";
import { describe, expectTypeOf, test } from "vitest";

declare const layersModel: LayersModel;
declare const variables: { readonly [name: string]: tf.Variable };
declare const arrays: { readonly w: Float32Array; readonly b: Float32Array };
declare const json: unknown;
declare const device: GPUDevice;
declare const bindings: { readonly w: GPUBufferBinding };

const rules = { adamw, sgd };
const schedules = { cosine, linear };
const onTfjs = { optimizer: tfjsOptimizer, rules, schedules };
const onWasm = { optimizer: wasmOptimizer, rules, schedules };

test("a module of rules is a registry of those exports that make rules", () => {
  const parts = { optimizer: wasmOptimizer, rules: everyRule };
  const optim = buildOptimWrapper(arrays, { optimizer: { type: "sgd", momentum: 0.9 } }, parts);
  expectTypeOf(optim).toEqualTypeOf<OptimWrapper<WasmLoss, number, SgdHyperparameters>>();
  expectTypeOf<
    RuleName<{ readonly adamw: typeof adamw; readonly ema: typeof everyRule.ema }>
  >().toEqualTypeOf<"adamw">();
  // @ts-expect-error lookahead wraps a rule, and makes none from hyperparameters
  buildOptimWrapper(arrays, { optimizer: { type: "lookahead" } }, parts);
  // @ts-expect-error SGD has no betas
  buildOptimWrapper(arrays, { optimizer: { type: "sgd", betas: [0.9, 0.99] } }, parts);
  const made = { sgd: sgd() };
  // @ts-expect-error a rule is no function that makes one
  buildOptimWrapper(arrays, { optimizer: { type: "sgd" } }, { ...parts, rules: made });
});

describe("a wrapper has the types of its backend and of its rule", () => {
  test("on tfjs: a LayersModel, or variables by name", () => {
    const optim = buildOptimWrapper(layersModel, { optimizer: { type: "adamw", lr: 1e-3 } }, onTfjs);
    expectTypeOf(optim).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>>();
    const named = buildOptimWrapper(variables, { optimizer: { type: "sgd" } }, onTfjs);
    expectTypeOf(named).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, SgdHyperparameters>>();
  });

  test("on wasm: arrays by name", () => {
    const optim = buildOptimWrapper(arrays, { optimizer: { type: "sgd" } }, onWasm);
    expectTypeOf(optim).toEqualTypeOf<OptimWrapper<WasmLoss, number, SgdHyperparameters>>();
  });

  test("by a function that calls the entry point with options", () => {
    const optim = buildOptimWrapper(
      variables,
      { optimizer: { type: "adamw" } },
      { optimizer: (rule, groups) => tfjsOptimizer(rule, groups, { lowering: "ops" }), rules },
    );
    expectTypeOf(optim).toEqualTypeOf<OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>>();
    const onGpu = buildOptimWrapper(
      bindings,
      { optimizer: { type: "sgd" } },
      { optimizer: (rule, groups) => webgpuOptimizer(rule, groups, { device }), rules },
    );
    expectTypeOf(onGpu).toEqualTypeOf<OptimWrapper<WebgpuLoss, undefined, SgdHyperparameters>>();
  });

  test("parameters of another backend do not compile", () => {
    // @ts-expect-error tfjsOptimizer takes variables, not arrays
    buildOptimWrapper(arrays, { optimizer: { type: "sgd" } }, onTfjs);
    // @ts-expect-error wasmOptimizer takes arrays, not variables
    buildOptimWrapper(variables, { optimizer: { type: "sgd" } }, onWasm);
  });

  test("a kind of model that is handed in says what it is made of", () => {
    interface Net {
      readonly layers: number;
    }
    const netKind = {} as ModelKind<Net, Float32Array>;
    const net: Net = { layers: 3 };
    const optim = buildOptimWrapper(net, { optimizer: { type: "sgd" } }, { ...onWasm, models: [netKind] });
    expectTypeOf(optim).toEqualTypeOf<OptimWrapper<WasmLoss, number, SgdHyperparameters>>();
    // @ts-expect-error without its kind it is no model
    buildOptimWrapper(net, { optimizer: { type: "sgd" } }, onWasm);
    // @ts-expect-error its parameters are arrays, and tfjsOptimizer takes variables
    buildOptimWrapper(net, { optimizer: { type: "sgd" } }, { ...onTfjs, models: [netKind] });
  });
});

describe("with registries of known types", () => {
  test("unknown rules, and hyperparameters of another rule, do not compile", () => {
    // @ts-expect-error there is no adamx
    buildOptimWrapper(arrays, { optimizer: { type: "adamx" } }, onWasm);
    // @ts-expect-error AdamW has no momentum
    buildOptimWrapper(arrays, { optimizer: { type: "adamw", momentum: 0.9 } }, onWasm);
    // @ts-expect-error AdamW has two betas
    buildOptimWrapper(arrays, { optimizer: { type: "adamw", betas: [0.9] } }, onWasm);
  });

  test("unknown options do not compile", () => {
    // @ts-expect-error it is accumulativeCounts
    buildOptimWrapper(arrays, { optimizer: { type: "sgd" }, accumulate: 2 }, onWasm);
    // @ts-expect-error clipValue needs its type
    buildOptimWrapper(arrays, { optimizer: { type: "sgd" }, clipGrad: { clipValue: 1 } }, onWasm);
    // @ts-expect-error it is biasLrMult
    buildOptimWrapper(arrays, { optimizer: { type: "sgd" }, paramwise: { bias_lr_mult: 1 } }, onWasm);
    buildOptimWrapper(
      arrays,
      // @ts-expect-error SGD has no betas
      { optimizer: { type: "sgd" }, paramwise: [{ match: "w", betas: [0.9, 0.9] }] },
      onWasm,
    );
    buildOptimWrapper(
      arrays,
      // @ts-expect-error a matcher has no such field
      { optimizer: { type: "sgd" }, paramwise: [{ match: { suffix: "w" } }] },
      onWasm,
    );
  });

  test("unknown schedules, their options and hyperparameters do not compile", () => {
    const optimizer = { type: "sgd" } as const;
    buildOptimWrapper(arrays, { optimizer, schedules: { lr: { type: "cosine", length: 9 } } }, onWasm);
    // @ts-expect-error there is no polynomial in this registry
    buildOptimWrapper(arrays, { optimizer, schedules: { lr: { type: "polynomial", length: 9 } } }, onWasm);
    buildOptimWrapper(
      arrays,
      // @ts-expect-error a line has no floor
      { optimizer, schedules: { lr: { type: "linear", length: 9, etaMin: 0 } } },
      onWasm,
    );
    // @ts-expect-error SGD has no betas
    buildOptimWrapper(arrays, { optimizer, schedules: { betas: { type: "linear", length: 9 } } }, onWasm);
  });
});

describe("a dict has a wrapper for each name, typed by its rule", () => {
  const config = {
    wrappers: {
      actor: { optimizer: { type: "adamw" }, schedules: { "betas[0]": { type: "linear", length: 3 } } },
      critic: { params: "critic.**", optimizer: { type: "sgd", momentum: 0.9 } },
    },
  } as const;

  test("from one model or several", () => {
    const optim = buildOptimWrapperDict(arrays, config, onWasm);
    expectTypeOf(optim.get("actor")).toEqualTypeOf<OptimWrapper<WasmLoss, number, AdamwHyperparameters>>();
    expectTypeOf(optim.get("critic")).toEqualTypeOf<OptimWrapper<WasmLoss, number, SgdHyperparameters>>();
    // @ts-expect-error there is no generator
    optim.get("generator");
    const joined = buildOptimWrapperDict(
      joinModels({ actor: variables, critic: layersModel }),
      config,
      onTfjs,
    );
    expectTypeOf(joined.get("actor")).toEqualTypeOf<
      OptimWrapper<TfjsLoss, tf.Scalar, AdamwHyperparameters>
    >();
    // @ts-expect-error one of the models has arrays
    buildOptimWrapperDict(joinModels({ actor: variables, critic: arrays }), config, onTfjs);
  });

  test("an unknown rule in it does not compile", () => {
    buildOptimWrapperDict(
      arrays,
      // @ts-expect-error there is no adamx
      { wrappers: { all: { params: "**", optimizer: { type: "adamx" } } } },
      onWasm,
    );
  });

  test("its schedulers and its metrics have the names", async () => {
    const optim = buildOptimWrapperDict(arrays, config, onWasm);
    const schedulers = buildSchedulerDict(optim, config, { schedules });
    expectTypeOf(schedulers.get).parameter(0).toEqualTypeOf<"actor" | "critic">();
  });
});

describe("what came from JSON", () => {
  test("is any of the rules", () => {
    const config = parseOptimWrapperConfig(json, { rules, schedules });
    expectTypeOf(config.optimizer.type).toEqualTypeOf<"adamw" | "sgd">();
    const optim = buildOptimWrapper(arrays, config, onWasm);
    expectTypeOf(optim.paramGroups[0].lr).toEqualTypeOf<number>();
    expectTypeOf(buildScheduler(optim, config, { schedules })).toEqualTypeOf<Scheduler>();
    // @ts-expect-error it has to be parsed: JSON could be anything
    buildOptimWrapper(arrays, json, onWasm);
  });

  test("is a dict of any names", () => {
    const config = parseOptimWrapperDictConfig(json, { rules, schedules });
    const optim = buildOptimWrapperDict(arrays, config, onWasm);
    expectTypeOf(optim.get("anything").getLr().lr).toEqualTypeOf<readonly number[]>();
    buildSchedulerDict(optim, config, { schedules });
  });

  test("a configuration may be annotated", () => {
    const config: OptimWrapperConfig<typeof rules, "sgd"> = {
      optimizer: { type: "sgd", nesterov: true, momentum: 0.9 },
    };
    expectTypeOf(buildOptimWrapper(arrays, config, { optimizer: wasmOptimizer, rules })).toEqualTypeOf<
      OptimWrapper<WasmLoss, number, SgdHyperparameters>
    >();
  });
});
