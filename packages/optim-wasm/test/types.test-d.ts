import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adam, type AdamHyperparameters, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { createArena, wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";
import { expectTypeOf, test } from "vitest";

const [w, b] = [new Float32Array(1), new Float32Array(1)];

test("names come from the parameters", () => {
  const record = wasmOptimizer(adam(), { w, b });
  expectTypeOf(record.backward).parameter(0).toEqualTypeOf<WasmLoss<"w" | "b">>();
  record.backward(({ grad, scale }) => (grad("w")[0] = scale));
  // @ts-expect-error "v" is no parameter
  record.backward(({ grad }) => grad("v").length);

  const groups = wasmOptimizer(adam(), [{ params: { w } }, { name: "biases", params: { b }, lr: 0.1 }]);
  expectTypeOf(groups.backward).parameter(0).toEqualTypeOf<WasmLoss<"w" | "b">>();

  const arena = createArena({ w1: 10, b1: 2 });
  expectTypeOf(arena.w1).toEqualTypeOf<Float32Array>();
  // @ts-expect-error the arena has no such array
  void arena.w2;
  expectTypeOf(wasmOptimizer(sgd(), arena).backward).parameter(0).toEqualTypeOf<WasmLoss<"w1" | "b1">>();

  const byName: Record<string, Float32Array> = { w };
  expectTypeOf(wasmOptimizer(sgd(), byName).backward).parameter(0).toEqualTypeOf<WasmLoss>();
});

test("groups with rules of their own have their rules' hyperparameters", () => {
  const optim = createOptimWrapper(
    wasmOptimizer(adam(), [
      { name: "hidden", params: { w }, rule: sgd({ lr: 0.1 }), momentum: 0.9 },
      { params: { b }, betas: [0.8, 0.9] },
    ]),
  );
  expectTypeOf(optim).toEqualTypeOf<
    OptimWrapper<WasmLoss<"w" | "b">, number, AdamHyperparameters, AdamHyperparameters | SgdHyperparameters>
  >();
  for (const group of optim.paramGroups) {
    group.lr = group.weightDecay;
    if ("betas" in group) expectTypeOf(group.betas[0]).toBeNumber();
    else group.momentum = 0.5;
    // @ts-expect-error: not every rule has betas
    void group.betas;
  }
  expectTypeOf(optim.defaults).toEqualTypeOf<Readonly<AdamHyperparameters>>();
  optim.addParamGroup({ params: { v: w }, rule: sgd(), momentum: 0.5 });
  // @ts-expect-error: SGD has no betas
  optim.addParamGroup({ params: { v: w }, rule: sgd(), betas: [0.8, 0.9] });
  // @ts-expect-error: SGD has no betas
  wasmOptimizer(adam(), [{ params: { w }, rule: sgd(), betas: [0.8, 0.9] }]);
  // @ts-expect-error: misspelled
  wasmOptimizer(adam(), [{ params: { w }, rule: sgd(), momentun: 0.9 }]);
  // @ts-expect-error: parameters are float32
  wasmOptimizer(adam(), [{ params: { w: new Float64Array(1) }, rule: sgd() }]);
  // @ts-expect-error: a factory is no rule
  wasmOptimizer(adam(), [{ params: { w }, rule: sgd }]);
});

test("what does not compile", () => {
  // @ts-expect-error parameters are float32
  wasmOptimizer(sgd(), { w: new Float64Array(1) });
  // @ts-expect-error SGD has no betas
  wasmOptimizer(sgd(), [{ params: { w }, betas: [0.9, 0.99] }]);
  // @ts-expect-error misspelled
  wasmOptimizer(adam(), [{ params: { w }, weigthDecay: 0.1 }]);
  const optimizer = wasmOptimizer(sgd(), { w });
  // @ts-expect-error the closure returns the loss
  optimizer.backward(({ grad }) => void grad("w"));
  // @ts-expect-error asynchronous
  optimizer.backward(async ({ grad }) => grad("w").length);
  // @ts-expect-error SGD has no betas
  void optimizer.paramGroups[0].betas;
});

test("a wrapper is of this backend: closures of another do not fit", () => {
  const optim = createOptimWrapper(wasmOptimizer(sgd(), { w }));
  expectTypeOf(optim.updateParams(() => 1, { returnLoss: true }).loss).toEqualTypeOf<number>();
  // @ts-expect-error a closure that records commands returns undefined
  optim.updateParams(() => undefined);
  // @ts-expect-error a wrapper whose closures know "w" alone serves no closure that asks for "v"
  const other: OptimWrapper<WasmLoss<"v">, number> = optim;
  void other;
});

test("gradientView may be absent, and cannot be replaced", () => {
  const optimizer = wasmOptimizer(adam(), createArena({ w: 1 }));
  expectTypeOf(optimizer.gradientView).toEqualTypeOf<Float32Array | undefined>();
  // @ts-expect-error: it is the arena's
  optimizer.gradientView = new Float32Array(1);
});

test("slots are kept in a dtype that there is", () => {
  wasmOptimizer(adam(), { w }, { slotDtype: "bfloat16" });
  wasmOptimizer(adam(), [{ params: { w } }], { slotDtype: { expAvg: "bfloat16", expAvgSq: "float32" } });
  // @ts-expect-error no such dtype
  wasmOptimizer(adam(), { w }, { slotDtype: "float16" });
  // @ts-expect-error no such option
  wasmOptimizer(adam(), { w }, { slots: "bfloat16" });
});
