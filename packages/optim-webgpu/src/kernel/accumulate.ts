import type { KernelSource } from "./source.ts";

/** How incoming gradients are stored: float32, or float16 as `array<f16>` (shader-f16) or two halves a word. */
export type IncomingStorage = "f32" | "f16" | "packed";

/**
 * Adds incoming gradients to accumulators, or overwrites these, by `record.adds`; a workgroup a tile. Both are planes of one layout, the
 * incoming one in its own element size.
 *
 * Bindings: accumulator, incoming, table, range.
 */
export function accumulateKernel(_from: IncomingStorage): KernelSource {
  throw new Error("not written yet");
}
