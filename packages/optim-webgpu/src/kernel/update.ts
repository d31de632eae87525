import type { Program } from "@mm/optim-core/backend";
import type { KernelSource } from "./source.ts";

/**
 * How a parameter is bound. Planes (gradients and slots) are always `array<vec4f>`.
 *
 * - `vec4`: `array<vec4f>`: starts at a multiple of 4 elements, and its length is one or zeros follow that are its own (an arena).
 * - `scalar`: `array<f32>`, anything else.
 * - `f16`: `array<f16>`, on devices with shader-f16. `packed`: `array<u32>`, two halves a word, starts at an even element. For both,
 *   the float32 weights are one more slot, the last.
 */
export type ParameterAccess = "vec4" | "scalar" | "f16" | "packed";

/**
 * One step of a program, a workgroup a tile.
 *
 * Bindings: parameter, gradient, each slot (and the master weights), table, range.
 */
export function updateKernel(_program: Program, _access: ParameterAccess): KernelSource {
  throw new Error("not written yet");
}
