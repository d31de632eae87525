// AdamW over one layer, and what PyTorch saved of the same, in the folder where blocks are run.
import { copyFileSync } from "node:fs";
import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adamw, type AdamwHyperparameters } from "@mm/optim-rules";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";

copyFileSync(
  new URL("../../packages/optim-checkpoint/test/fixtures/torch-adamw.safetensors", import.meta.url),
  "adamw.safetensors",
);

export const optim: OptimWrapper<WasmLoss, number, AdamwHyperparameters> = createOptimWrapper(
  wasmOptimizer<AdamwHyperparameters, string>(adamw(), [
    { params: { "dense/weight": new Float32Array(6) } },
    { params: { "dense/bias": new Float32Array(2) } },
  ]),
);
