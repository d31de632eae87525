import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import {
  compressed,
  type Communicator,
  dataParallel,
  distributed,
  type SlicingCommunicator,
} from "@mm/optim-distributed";
import { sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { type WasmLoss, type WasmOptimizer, wasmOptimizer } from "@mm/optim-wasm";
import { expectTypeOf, test } from "vitest";

declare const communicator: SlicingCommunicator;
declare const whole: Communicator;

test("a distributed optimizer has the type of its own", () => {
  const optimizer = distributed(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }), communicator);
  expectTypeOf(optimizer).toEqualTypeOf<WasmOptimizer<"w", SgdHyperparameters>>();
  expectTypeOf(createOptimWrapper(optimizer)).toExtend<OptimWrapper<WasmLoss<"w">, number>>();
});

test("dataParallel takes the closures of its wrapper, and gives its losses", () => {
  const parallel = dataParallel(
    createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) })),
    whole,
  );
  expectTypeOf(
    parallel.updateParams(({ grad }) => grad("w").length, { returnLoss: true }),
  ).resolves.toHaveProperty("loss");
  // @ts-expect-error: no parameter has this name
  void parallel.updateParams(({ grad }) => grad("v").length);
  // @ts-expect-error: a loss of this backend is a number
  void parallel.updateParams(() => "0");
});

test("what travels as bfloat16 travels in slices, and there is no other format", () => {
  // @ts-expect-error: this communicator exchanges no slices
  compressed(whole, "bf16");
  // @ts-expect-error: MPI has no sum of float16
  compressed(communicator, "f16");
});
