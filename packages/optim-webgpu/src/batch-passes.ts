import { makingOf, type Pass, type Program } from "@mm/optim-core/backend";
import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import {
  alongUpdateKernel,
  columnsKernel,
  columnSumsKernel,
  makingKernel,
  matricesOf,
  type ParameterAccess,
  perAxis,
  perTensor,
  reduceKernel,
  type ReducePass,
  rowsKernel,
  updateKernel,
  type UpdatePass,
} from "./kernel/index.ts";

/** A dispatch over the tiles of some parameters: its kernel, and what that binds beside parameter, gradient and slots. */
export interface BatchDispatch {
  readonly kernel: Kernel;
  /** Whether it binds parameter, gradient and slots. */
  readonly elements: boolean;
  /** Matrices that it reads. */
  readonly read: readonly number[];
  /** The one that it makes the operand of, and in which of the two vectors of its room. */
  readonly made?: { readonly matrix: number; readonly place: 0 | 1 };
  /** Whether it binds the partials of reductions. */
  readonly partials: boolean;
}

/** A pass of a program: what it takes, one after the other. */
export interface BatchPass {
  readonly dispatches: readonly BatchDispatch[];
  /** Whether scalars depend on what it finds. */
  readonly measures: boolean;
}

/**
 * The passes of a program before the update, by stage, and the updates, as one.
 *
 * @param stages of the passes before the update
 */
export function batchPasses(
  device: Device,
  program: Program,
  access: ParameterAccess,
  stages: readonly number[],
): { readonly before: readonly (BatchPass | undefined)[]; readonly update: BatchPass } {
  const before: (BatchPass | undefined)[] = [];
  for (const [index, stage] of stages.entries())
    before[stage] = passBefore(device, program, program.passes[index] as Pass, access);
  const updates = program.passes.filter((pass) => pass.kind === "update");
  const dispatches = updates.map((pass) => updateOf(device, program, pass, access));
  return { before, update: { dispatches, measures: false } };
}

function updateOf(
  device: Device,
  program: Program,
  pass: UpdatePass,
  access: ParameterAccess,
): BatchDispatch {
  const source = pass.axes === 3 ? updateKernel(program, access) : alongUpdateKernel(program, pass, access);
  const read = pass.axes === 3 ? matricesOf(program, pass) : [];
  return { kernel: device.kernel(source), elements: true, read, partials: false };
}

function passBefore(device: Device, program: Program, pass: Pass, access: ParameterAccess): BatchPass {
  if (pass.kind === "matrix") {
    const { matrix } = pass;
    const steps = program.matrices[matrix]?.coefficients.length ?? 0;
    const making: BatchDispatch = {
      kernel: device.kernel(makingKernel(program, matrix, access)),
      elements: true,
      read: matricesOf(program, makingOf(program, matrix)),
      // Every step goes from one vector to the other, and the last one ends in the first.
      made: { matrix, place: steps % 2 === 0 ? 0 : 1 },
      partials: false,
    };
    return { dispatches: [making], measures: false };
  }
  // Sums over tensors are no dispatch of a batch.
  if (pass.kind !== "reduce") return { dispatches: [], measures: true };
  return {
    dispatches: reducing(device, program, pass, access),
    measures: perTensor(program, pass).length > 0,
  };
}

function reducing(
  device: Device,
  program: Program,
  pass: ReducePass,
  access: ParameterAccess,
): readonly BatchDispatch[] {
  const read = matricesOf(program, pass);
  const all = { elements: true, read, partials: false };
  const dispatches: BatchDispatch[] = [];
  if (perTensor(program, pass).length > 0) {
    const kernel = device.kernel(reduceKernel(program, pass, access));
    dispatches.push({ ...all, kernel, partials: true });
  }
  if (perAxis(program, pass, "row").length > 0)
    dispatches.push({ ...all, kernel: device.kernel(rowsKernel(program, pass, access)) });
  if (perAxis(program, pass, "column").length > 0) {
    dispatches.push(
      { ...all, kernel: device.kernel(columnsKernel(program, pass, access)) },
      { kernel: device.kernel(columnSumsKernel(program, pass)), elements: false, read: [], partials: false },
    );
  }
  return dispatches;
}
