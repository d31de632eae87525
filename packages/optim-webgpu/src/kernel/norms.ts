import type { Program } from "@mm/optim-core/backend";
import type { KernelSource } from "./source.ts";
import type { ParameterAccess } from "./update.ts";

/**
 * Measures the norms of a program, a workgroup a tile: one partial for each tile and norm.
 *
 * Bindings: as those of `updateKernel`, all read-only, then normPartials (of `partialWords` × norms words a tile).
 */
export function normsKernel(_program: Program, _access: ParameterAccess): KernelSource {
  throw new Error("not written yet");
}
