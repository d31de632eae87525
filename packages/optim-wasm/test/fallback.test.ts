import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam, adamw, lamb, sgd } from "@mm/optim-rules";
import { type WasmCapabilities, wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { anyArray, randomNumbers } from "../../../test-support/numbers.ts";
import { hideWebAssembly, withoutWebAssembly } from "./spied.ts";

const wrappers = [
  (w: Float32Array, options: OptimWrapperOptions) =>
    createOptimWrapper(wasmOptimizer(adam({ lr: 0.01, amsgrad: true }), { w }), options),
  (w: Float32Array, options: OptimWrapperOptions) =>
    createOptimWrapper(wasmOptimizer(adamw({ lr: 0.01 }), { w }), options),
  (w: Float32Array, options: OptimWrapperOptions) =>
    createOptimWrapper(wasmOptimizer(lamb({ lr: 0.01 }), { w }), options),
  (w: Float32Array, options: OptimWrapperOptions) =>
    createOptimWrapper(
      wasmOptimizer(sgd({ lr: 0.01, momentum: 0.9, nesterov: true, weightDecay: 0.1 }), { w }),
      options,
    ),
];
const options: readonly OptimWrapperOptions[] = [
  { accumulativeCounts: 2, clipGrad: { maxNorm: 0.5 } },
  { clipGrad: { maxNorm: 0.5, normType: 3 } },
  { clipGrad: { type: "value", clipValue: 0.1 }, onNonFinite: "zero" },
  { lossScale: "dynamic" },
];

/** Every rule under every option, over ordinary gradients and one with edges. */
function trajectories(): { readonly compiled: boolean; readonly w: Float32Array }[] {
  return wrappers.flatMap((make) =>
    options.map((options) => {
      const w = Float32Array.from({ length: 101 }, (_, i) => Math.sin(i));
      const optim = make(w, options);
      const random = randomNumbers(5);
      for (let count = 0; count < 12; count += 1) {
        optim.updateParams(({ grad, scale }) => {
          if (count === 7) grad("w").set(anyArray(random, 101));
          else grad("w").forEach((_, i, g) => (g[i] = (random() - 0.5) * scale));
          return 0;
        });
      }
      return { compiled: (optim.optimizer.capabilities as WasmCapabilities).compiled, w };
    }),
  );
}

describe.each(withoutWebAssembly)("with %s", (_, replacement) => {
  test("the reference runs, decided at construction, with the same results to the bit", () => {
    const compiled = trajectories();
    expect(compiled.every((run) => run.compiled)).toBe(true);
    hideWebAssembly(replacement);
    const evaluated = trajectories();
    expect(evaluated.some((run) => run.compiled)).toBe(false);
    for (const [index, { w }] of evaluated.entries()) expect(w).toEqual(compiled[index]?.w);
  });
});
