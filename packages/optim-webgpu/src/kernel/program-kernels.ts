import type { Program } from "@mm/optim-core/backend";
import { normsKernel } from "./norms.ts";
import { prepareNormsKernel } from "./prepare-norms.ts";
import { prepareKernel } from "./prepare.ts";
import { registersOf } from "./scalars.ts";
import { type ParameterAccess, updateKernel } from "./update.ts";

/** A kernel that runs for a program. */
export interface ProgramKernel {
  /** As errors and debuggers show it: `"optim update AdamW vec4"`. */
  readonly label: string;
  /** Its WGSL. Bindings are those of group 0, and stand in the text. */
  readonly code: string;
}

/**
 * The kernels that a step of a program runs, in their order: `prepare`, which computes the scalars of the rule where the device counts the
 * steps, as code in its table; for a rule with norms, those that measure them; and `update`. The check of the gradients, which comes before
 * them, knows no program.
 *
 * @param access how the parameter is bound: `"vec4"` where it begins at a multiple of 16 bytes and is of whole vectors or padded (an arena),
 * `"scalar"` where not, `"packed"` for float16. Default `"vec4"`
 */
export function programKernels(program: Program, access: ParameterAccess = "vec4"): readonly ProgramKernel[] {
  const registers = registersOf(program);
  const norms = program.reductions.length;
  return [
    prepareKernel(registers),
    ...(norms > 0 ? [normsKernel(program, access), prepareNormsKernel(registers, norms)] : []),
    updateKernel(program, access),
  ].map(({ label, code }) => ({ label, code }));
}
