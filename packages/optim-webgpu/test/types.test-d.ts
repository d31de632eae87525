import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { createArena, webgpuOptimizer, type WebgpuBinding, type WebgpuLoss } from "@mm/optim-webgpu";
import { expectTypeOf, test } from "vitest";

declare const device: GPUDevice;
declare const [w, b]: readonly [GPUBuffer, GPUBuffer];

test("names come from the parameters", () => {
  const record = webgpuOptimizer(adam(), { w, b: { buffer: b, offset: 16, length: 3 } }, { device });
  expectTypeOf(record.backward).parameter(0).toEqualTypeOf<WebgpuLoss<"w" | "b">>();
  record.backward(({ grad, scale, encoder }) => {
    expectTypeOf(grad("w")).toEqualTypeOf<WebgpuBinding>();
    expectTypeOf(scale).toEqualTypeOf<WebgpuBinding>();
    expectTypeOf(encoder).toEqualTypeOf<GPUCommandEncoder>();
    return undefined;
  });
  record.backward(({ grad }) => {
    // @ts-expect-error "v" is no parameter
    grad("v");
    return undefined;
  });

  const groups = webgpuOptimizer(adam(), [{ params: { w } }, { params: { b }, lr: 0.1 }], { device });
  expectTypeOf(groups.backward).parameter(0).toEqualTypeOf<WebgpuLoss<"w" | "b">>();

  const arena = createArena(device, { w1: 10, b1: 2 });
  expectTypeOf(arena.w1).toEqualTypeOf<WebgpuBinding>();
  expectTypeOf(arena.w1).toExtend<GPUBindingResource>();
  // @ts-expect-error the arena has no such range
  void arena.w2;
  const inArena = webgpuOptimizer(sgd(), arena, { device });
  expectTypeOf(inArena.backward).parameter(0).toEqualTypeOf<WebgpuLoss<"w1" | "b1">>();
});

test("a closure returns undefined", () => {
  const { backward } = webgpuOptimizer(sgd(), { w }, { device });
  backward(() => undefined);
  // Where undefined is expected, a body without a return returns it.
  backward(({ encoder }) => {
    encoder.insertDebugMarker("loss");
  });
  const returnsVoid = (): void => {};
  // @ts-expect-error void: any closure would do, an asynchronous one as well
  backward(returnsVoid);
  // @ts-expect-error asynchronous
  backward(async () => undefined);
  // @ts-expect-error the loss stays on the device
  backward(() => 1);
});

test("what does not compile", () => {
  // @ts-expect-error no device
  webgpuOptimizer(sgd(), { w });
  // @ts-expect-error not on a GPU
  webgpuOptimizer(sgd(), { w: new Float32Array(1) }, { device });
  // @ts-expect-error there is no such dtype
  webgpuOptimizer(sgd(), { w: { buffer: w, dtype: "float64" } }, { device });
  // @ts-expect-error SGD has no betas
  webgpuOptimizer(sgd(), [{ params: { w }, betas: [0.9, 0.99] }], { device });
});

test("a wrapper is of this backend: closures of another do not fit", () => {
  const optim = createOptimWrapper(webgpuOptimizer(sgd(), { w }, { device }));
  expectTypeOf(optim.updateParams(() => undefined, { returnLoss: true }).loss).toEqualTypeOf<undefined>();
  // @ts-expect-error a closure of arrays returns the loss
  optim.updateParams(() => 1);
  // @ts-expect-error a wrapper whose closures know "w" alone serves no closure that asks for "v"
  const other: OptimWrapper<WebgpuLoss<"v">, undefined> = optim;
  void other;
});
