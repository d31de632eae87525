import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, sgd } from "@mm/optim-rules";
import { type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";

/** Two optimizers whose file is large enough for a save to be interrupted in many places: 30,000 elements, 0.4 MB. */
export interface Run {
  readonly optim: OptimWrapperDict<{
    readonly large: OptimWrapper<WasmLoss, number>;
    readonly small: OptimWrapper<WasmLoss, number>;
  }>;
  train(n: number): void;
}

const size = 30_000;

export function createRun(): Run {
  const optim = new OptimWrapperDict({
    large: createOptimWrapper<WasmLoss, number, { lr: number }>(
      wasmOptimizer<{ lr: number }, string>(adam({ lr: 0.01 }), { w: new Float32Array(size) }),
      { accumulativeCounts: 2, lossScale: { growthInterval: 3 } },
    ),
    small: createOptimWrapper<WasmLoss, number, { lr: number }>(
      wasmOptimizer<{ lr: number }, string>(sgd({ lr: 0.1, momentum: 0.9 }), { b: new Float32Array(10) }),
    ),
  });
  const fill =
    (n: number, name: string): WasmLoss =>
    ({ grad, scale }) => {
      const gradient = grad(name);
      for (let at = 0; at < gradient.length; at += 1)
        gradient[at] = (((at * 31 + n * 17) % 101) / 50 - 1) * scale;
      return 0;
    };
  return {
    optim,
    train(n) {
      optim.get("large").updateParams(fill(n, "w"));
      optim.get("small").updateParams(fill(n, "b"));
      // As a scheduler would.
      for (const group of optim.get("small").paramGroups) group.lr = 0.1 / (1 + n);
    },
  };
}
