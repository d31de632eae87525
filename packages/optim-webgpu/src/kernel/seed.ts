import { globals, header, scalerStateWords } from "./layout.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Latches the loss scaler's current scale where `header.latches` says so, and writes the seed, `header.seedScale` × latched. Dispatch
 * one workgroup. Needed only where `prepare` has not written both ahead.
 *
 * Bindings: table, state, scaler, seed.
 */
export function seedKernel(): KernelSource {
  return kernel(
    "seed",
    [
      ["table", "read-only-storage", "array<u32>"],
      ["state", "storage", "array<u32>"],
      ["scaler", "read-only-storage", "array<u32>"],
      ["seed", "storage", "array<f32>"],
    ],
    [],
    wgsl`
      if (thread != 0u) { return; }
      let latched = ${globals.latched}u + table[${header.latched}u];
      if (table[${header.latches}u] != 0u) {
        state[latched] = scaler[${scalerStateWords}u * table[${header.scalerCurrent}u]];
      }
      seed[0] = bitcast<f32>(table[${header.seedScale}u]) * bitcast<f32>(state[latched]);
    `,
  );
}
