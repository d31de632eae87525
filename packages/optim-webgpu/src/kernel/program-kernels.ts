import type { Pass, Program } from "@mm/optim-core/backend";
import type { ParameterAccess } from "./elements.ts";
import { prepareNormsKernel } from "./prepare-norms.ts";
import { prepareKernel } from "./prepare.ts";
import { productKernel } from "./products.ts";
import { perTensor, reduceKernel } from "./reduce-pass.ts";
import { hasSums, registersOf } from "./scalars.ts";
import { alongUpdateKernel, columnsKernel, columnSumsKernel, perAxis, rowsKernel } from "./shaped-passes.ts";
import type { KernelSource } from "./source.ts";
import { totalsKernel } from "./totals.ts";
import { makingKernel, updateKernel } from "./update.ts";

/** A kernel that runs for a program. */
export interface ProgramKernel {
  /** As errors and debuggers show it: `"optim update AdamW vec4"`. */
  readonly label: string;
  /** Its WGSL. Bindings are those of group 0, and stand in the text. */
  readonly code: string;
}

/**
 * The kernels that a step of a program runs, in their order: `prepare`, which computes the scalars of the rule where the device counts the
 * steps, as code in its table; the passes before the update, each with what follows it: `prepare norms` where scalars depend on what it found, and
 * the three products of a Newton–Schulz step, which run once for each of them; and `update`. The check of the gradients, which comes before
 * them, knows no program.
 *
 * @param access how the parameter is bound: `"vec4"` where it begins at a multiple of 16 bytes and is of whole vectors or padded (an arena),
 * `"scalar"` where not, `"packed"` for float16. Default `"vec4"`
 */
export function programKernels(program: Program, access: ParameterAccess = "vec4"): readonly ProgramKernel[] {
  const registers = registersOf(program);
  const passes = program.passes.flatMap((pass) => kernelsOf(program, pass, registers, access));
  return [prepareKernel(registers), ...passes].map(({ label, code }) => ({ label, code }));
}

function kernelsOf(
  program: Program,
  pass: Pass,
  registers: number,
  access: ParameterAccess,
): readonly KernelSource[] {
  if (pass.kind === "matrix") {
    const products = (["gram", "square", "apply"] as const).map(productKernel);
    return [makingKernel(program, pass.matrix, access), ...products];
  }
  if (pass.kind === "update")
    return [pass.axes === 3 ? updateKernel(program, access) : alongUpdateKernel(program, pass, access)];
  if (pass.kind === "total") {
    const norms = Math.max(1, program.reductions.length);
    return [totalsKernel(), prepareNormsKernel(registers, norms, hasSums(program))];
  }
  const kernels: KernelSource[] = [];
  const measures = perTensor(program, pass).length > 0;
  if (measures) kernels.push(reduceKernel(program, pass, access));
  if (perAxis(program, pass, "row").length > 0) kernels.push(rowsKernel(program, pass, access));
  if (perAxis(program, pass, "column").length > 0)
    kernels.push(columnsKernel(program, pass, access), columnSumsKernel(program, pass));
  if (measures) kernels.push(prepareNormsKernel(registers, program.reductions.length, hasSums(program)));
  return kernels;
}
