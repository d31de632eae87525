// y = 3x − 1, fitted by slope·x + offset on plain arrays.
import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adamw, type AdamwHyperparameters } from "@mm/optim-rules";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";

export const line = new Float32Array(2);

export const optim: OptimWrapper<WasmLoss<"line">, number, AdamwHyperparameters> = createOptimWrapper(
  wasmOptimizer(adamw({ lr: 0.05, weightDecay: 0 }), { line }),
);

/** The squared error at x. */
export function lossAt(x: number): WasmLoss<"line"> {
  return ({ grad, scale }) => {
    const error = line[0]! * x + line[1]! - (3 * x - 1);
    grad("line").set([2 * error * x * scale, 2 * error * scale]);
    return error ** 2;
  };
}

export const losses: WasmLoss<"line">[] = [-1, -0.5, 0.5, 1].map(lossAt);
