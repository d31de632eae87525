import { linearClosure, type OptimizerFactory } from "@mm/optim-conformance";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";

/** This backend, as the conformance kit takes backends. Its memory goes with the optimizer, so there is nothing to count. */
export const wasmFactory: OptimizerFactory<Float32Array, WasmLoss, number> = {
  name: "wasm",
  tolerance: "exact",
  createParameter: (values) => values.slice(),
  createOptimizer: wasmOptimizer,
  linearLoss: (terms) => linearClosure(terms, (parameter) => parameter),
  readLoss: (value) => value,
  liveAllocations: () => 0,
  storageOf: (parameter) => parameter,
};
