import type { Program } from "@mm/optim-core/backend";
import type { KernelSource } from "./source.ts";

export interface PrepareOptions {
  /** The scalar slots of all programs together, in the order in which blocks of `state` hold them. */
  readonly scalarSlots: readonly string[];
  /**
   * The pass after a norms pass: computes the uniforms of programs that have norms, and counts their steps; leaves all else alone.
   * Dispatch one workgroup per record.
   */
  readonly afterNorms?: boolean;
}

/**
 * Finishes the check, and writes what follows from it: uniforms and `live` of every record, step counts and scalar slots, globals, the
 * loss scaler's next state, and seed and latched scale of the next window. Dispatch a workgroup for every 64 records, and at least one.
 *
 * Bindings: table, state, partials, scaler, seed (the last two unused where `header.scaler` is 0); after norms: table, state,
 * normPartials.
 *
 * @param programs of the kinds 1, 2, …
 */
export function prepareKernel(_programs: readonly Program[], _options: PrepareOptions): KernelSource {
  throw new Error("not written yet");
}
