import type { NormKind } from "./layout.ts";
import type { KernelSource } from "./source.ts";

/**
 * Measures the accumulators of one chunk, as far as their parameters are active. Dispatch `checkWorkgroups(tileCount)` workgroups.
 *
 * Bindings: gradient, table, range, partials.
 *
 * @param ignoreNonFinite elements that are not finite count as 0, in the finite check too
 */
export function checkKernel(_norm: NormKind, _ignoreNonFinite: boolean): KernelSource {
  throw new Error("not written yet");
}

/** Workgroups of a check over so many tiles, and the partials that each of them writes. */
export function checkWorkgroups(_tileCount: number): number {
  throw new Error("not written yet");
}
export const partialsPerWorkgroup = 1;
