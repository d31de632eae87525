import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";

export interface Trajectory {
  readonly compiled: boolean;
  readonly own: readonly number[];
  readonly arena: readonly number[];
}

/** Ten clipped updates of 101 elements, in an array of the caller's and in an arena. */
export function trajectory(): Trajectory {
  const own = Float32Array.from({ length: 101 }, (_, i) => i / 16);
  const { w } = createArena({ w: 101 });
  w.set(own);
  const runs = [wasmOptimizer(adamw({ lr: 0.01 }), { w: own }), wasmOptimizer(adamw({ lr: 0.01 }), { w })];
  for (const optimizer of runs) {
    const optim = createOptimWrapper(optimizer, { accumulativeCounts: 2, clipGrad: { maxNorm: 1 } });
    for (let count = 1; count <= 20; count += 1) {
      optim.updateParams(({ grad, scale }) => {
        grad("w").forEach((_, i, g) => (g[i] = (((i * count) % 7) - 3) * scale));
        return 0;
      });
    }
  }
  return {
    compiled: runs.every(({ capabilities }) => capabilities.compiled),
    own: [...own],
    arena: [...w],
  };
}
