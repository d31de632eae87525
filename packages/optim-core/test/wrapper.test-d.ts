import {
  type AnyOptimizer,
  type AnyOptimWrapper,
  createOptimWrapper,
  type LossScaler,
  type Optimizer,
  type OptimWrapper,
  type ParamGroups,
} from "@mm/optim-core";
import { describe, expectTypeOf, test } from "vitest";

// Three kinds of backends by the types of their closures.
interface Scalar {
  readonly dtype: "float32";
}
type TfjsLoss = () => Scalar;
type WasmLoss = (call: { readonly grad: (name: string) => Float32Array; readonly scale: number }) => number;
// A closure that records commands returns `undefined`, not `void`, which would take any closure.
type GpuLoss = (call: { readonly encoder: { readonly label: string } }) => undefined;

interface Adam {
  lr: number;
  betas: readonly [number, number];
}

declare const tfjs: OptimWrapper<TfjsLoss, Scalar, Adam>;
declare const wasm: OptimWrapper<WasmLoss, number, Adam>;
declare const gpu: OptimWrapper<GpuLoss, undefined, Adam>;
declare const optimizer: Optimizer<WasmLoss, number, Adam>;
declare const scalar: Scalar;

describe("returnLoss", () => {
  test("true: the loss is there", () => {
    expectTypeOf(tfjs.updateParams(() => scalar, { returnLoss: true })).toEqualTypeOf<
      { readonly updated: boolean } & { readonly loss: Scalar }
    >();
    expectTypeOf(tfjs.backward(() => scalar, { returnLoss: true }).loss).toEqualTypeOf<Scalar>();
    expectTypeOf(wasm.updateParams(() => 1, { returnLoss: true, weight: 2 }).loss).toEqualTypeOf<number>();
  });

  test("absent, false or unknown: it may be", () => {
    const asked: boolean = Math.random() > 0.5;
    for (const result of [
      tfjs.updateParams(() => scalar),
      tfjs.updateParams(() => scalar, {}),
      tfjs.updateParams(() => scalar, { returnLoss: false }),
      tfjs.updateParams(() => scalar, { returnLoss: asked }),
    ]) {
      expectTypeOf(result.loss).toEqualTypeOf<Scalar | undefined>();
    }
  });

  test("one signature: a decorator can delegate without an assertion", () => {
    const counting: OptimWrapper<TfjsLoss, Scalar, Adam>["updateParams"] = (loss, options) =>
      tfjs.updateParams(loss, options);
    expectTypeOf(counting).toEqualTypeOf(tfjs.updateParams);
  });
});

describe("closures", () => {
  test("are the backend's", () => {
    tfjs.updateParams(() => scalar);
    wasm.backward(({ grad, scale }) => (grad("w")[0] ?? 0) * scale);
    gpu.updateParams(({ encoder }) => void encoder.label);
    // @ts-expect-error tfjs differentiates a tensor
    tfjs.updateParams(() => 1);
    // @ts-expect-error wasm wants a number
    wasm.updateParams(() => scalar);
    // @ts-expect-error a closure is synchronous
    tfjs.updateParams(async () => scalar);
    // @ts-expect-error a closure is synchronous
    gpu.updateParams(async () => undefined);
    // @ts-expect-error an option that nobody reads
    tfjs.updateParams(() => scalar, { returnloss: true });
  });

  test("optimContext takes no promise", () => {
    expectTypeOf(tfjs.optimContext(() => 3)).toEqualTypeOf<number>();
    // @ts-expect-error a context is synchronous
    void tfjs.optimContext(async () => 3);
  });
});

describe("variance", () => {
  test("another backend's wrapper or optimizer is not assignable", () => {
    // @ts-expect-error wasm closures are not tfjs closures
    expectTypeOf<OptimWrapper<TfjsLoss, Scalar, Adam>>(wasm);
    // @ts-expect-error tfjs closures are not wasm closures
    expectTypeOf<OptimWrapper<WasmLoss, number, Adam>>(tfjs);
    // @ts-expect-error a GPU's closures are handed an encoder
    expectTypeOf<OptimWrapper<WasmLoss, number, Adam>>(gpu);
    // @ts-expect-error the same for what is wrapped
    expectTypeOf<Optimizer<TfjsLoss, Scalar, Adam>>(wasm.optimizer);
    // @ts-expect-error the loss that it returns is another
    expectTypeOf<OptimWrapper<TfjsLoss, number, Adam>>(tfjs);
  });

  test("of any backend: everything but closures", () => {
    expectTypeOf(tfjs).toExtend<AnyOptimWrapper>();
    expectTypeOf(wasm).toExtend<AnyOptimWrapper>();
    expectTypeOf(gpu.optimizer).toExtend<AnyOptimizer>();
    const any: AnyOptimWrapper = tfjs;
    any.paramGroups[0].lr = 1;
    expectTypeOf(any.getLr().lr).toEqualTypeOf<readonly number[]>();
    expectTypeOf(any.lossScaler).toEqualTypeOf<LossScaler | undefined>();
    // @ts-expect-error no closure is known to fit
    any.updateParams(() => scalar);
  });

  test("hyperparameters: the rule's, or what every rule has", () => {
    expectTypeOf(tfjs.paramGroups).toEqualTypeOf<ParamGroups<Adam>>();
    expectTypeOf(tfjs.defaults).toEqualTypeOf<Readonly<Adam>>();
    expectTypeOf(tfjs).toExtend<OptimWrapper<TfjsLoss, Scalar>>();
    const ofAnyRule = {} as OptimWrapper<TfjsLoss, Scalar>;
    // @ts-expect-error a wrapper of any rule has no betas
    expectTypeOf<typeof tfjs>(ofAnyRule);
    const [group] = tfjs.paramGroups;
    group.betas = [0.5, 0.9];
    // @ts-expect-error Adam has no momentum
    group.momentum = 0.9;
    // @ts-expect-error a tuple is replaced as a whole
    group.betas[0] = 0.5;
    // @ts-expect-error its name is its own
    group.name = "head";
    // @ts-expect-error defaults are the rule's
    tfjs.defaults.lr = 1;
    tfjs.addParamGroup({ params: { w: {} }, lr: 1, betas: [0, 0] });
    // @ts-expect-error Adam has no momentum
    tfjs.addParamGroup({ params: { w: {} }, momentum: 1 });
  });
});

describe("construction", () => {
  test("the wrapper is typed by its optimizer", () => {
    expectTypeOf(createOptimWrapper(optimizer)).toEqualTypeOf<OptimWrapper<WasmLoss, number, Adam>>();
    createOptimWrapper(optimizer, { clipGrad: { maxNorm: 1, normType: Number.POSITIVE_INFINITY } });
    createOptimWrapper(optimizer, {
      clipGrad: { type: "value", clipValue: 1 },
      lossScale: optimizer.createLossScaler(8),
    });
  });

  test("options", () => {
    // @ts-expect-error a misspelled name
    createOptimWrapper(optimizer, { accumulateCounts: 2 });
    // @ts-expect-error by value needs its type
    createOptimWrapper(optimizer, { clipGrad: { clipValue: 1 } });
    // @ts-expect-error one or the other
    createOptimWrapper(optimizer, { clipGrad: { type: "value", clipValue: 1, maxNorm: 1 } });
    // @ts-expect-error no such type
    createOptimWrapper(optimizer, { clipGrad: { type: "max", maxNorm: 1 } });
    // @ts-expect-error no such action
    createOptimWrapper(optimizer, { onNonFinite: "ignore" });
    // @ts-expect-error a wrapper is wrapped already
    createOptimWrapper(wasm);
  });
});
