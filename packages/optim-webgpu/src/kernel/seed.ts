import type { KernelSource } from "./source.ts";

/**
 * Latches the loss scaler's current scale where `header.latches` says so, and writes the seed, `header.seedScale` × latched. Dispatch
 * one workgroup. Needed only where `prepare` has not written both ahead.
 *
 * Bindings: table (read-only), state, scaler (read-only), seed.
 */
export function seedKernel(): KernelSource {
  throw new Error("not written yet");
}
