import type { Pass, Program } from "@mm/optim-core/backend";
import { makingOf } from "@mm/optim-core/backend";
import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import {
  makingKernel,
  matricesOf,
  type ParameterAccess,
  perTensor,
  reduceKernel,
  updateKernel,
  updateOf,
} from "./kernel/index.ts";

/** A pass over the elements of some parameters: its kernel, and what that binds beside parameter, gradient and slots. */
export interface BatchPass {
  readonly kernel: Kernel;
  /** Matrices that it reads. */
  readonly read: readonly number[];
  /** The one that it makes the operand of, and in which of the two vectors of its room. */
  readonly made: { readonly matrix: number; readonly place: 0 | 1 } | undefined;
  /** Whether it binds the partials of reductions. */
  readonly partials: boolean;
  /** Whether scalars depend on what it finds. */
  readonly measures: boolean;
}

/** By pass of a program; the last one is the update. */
export function batchPasses(
  device: Device,
  program: Program,
  access: ParameterAccess,
): readonly (BatchPass | undefined)[] {
  const before = program.passes.filter(({ kind }) => kind !== "update");
  const update: BatchPass = {
    kernel: device.kernel(updateKernel(program, access)),
    read: matricesOf(program, updateOf(program)),
    made: undefined,
    partials: false,
    measures: false,
  };
  return [...before.map((pass) => passBefore(device, program, pass, access)), update];
}

function passBefore(
  device: Device,
  program: Program,
  pass: Pass,
  access: ParameterAccess,
): BatchPass | undefined {
  if (pass.kind === "matrix") {
    const { matrix } = pass;
    const steps = program.matrices[matrix]?.coefficients.length ?? 0;
    return {
      kernel: device.kernel(makingKernel(program, matrix, access)),
      read: matricesOf(program, makingOf(program, matrix)),
      // Every step goes from one vector to the other, and the last one ends in the first.
      made: { matrix, place: steps % 2 === 0 ? 0 : 1 },
      partials: false,
      measures: false,
    };
  }
  if (pass.kind !== "reduce" || perTensor(program, pass).length === 0) return undefined;
  return {
    kernel: device.kernel(reduceKernel(program, pass, access)),
    read: matricesOf(program, pass),
    made: undefined,
    partials: true,
    measures: true,
  };
}
