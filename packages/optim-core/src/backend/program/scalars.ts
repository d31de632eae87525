import type { HyperparameterRecord } from "../../hyperparameters.ts";
import { type Operation, operations } from "./arithmetic.ts";
import type { Extents } from "./extents.ts";
import type { Program, ScalarInstruction } from "./program.ts";

/** The inputs of the scalar part of a rule, for one parameter tensor and one step. */
export interface ScalarInputs {
  readonly hyperparameters: HyperparameterRecord;
  /** The parameter's step count, from 1: this step included. */
  readonly step: number;
  readonly scalarSlots: ReadonlyMap<string, number>;
  /** By number of reduction; what is per row or column, and what is not known yet, is not read. */
  readonly sums: ArrayLike<number>;
  /** Rows and columns as the rule sees them. Default: not known. */
  readonly extents?: Extents;
  /** By register; what is not known yet is absent. */
  readonly totals?: ReadonlyMap<number, number>;
}

/**
 * Evaluates the scalar part in float64. `registers` holds one value per instruction of `program.scalars` and is overwritten. A reduction that
 * is not known yet reads as NaN: only a later pass uses what depends on it.
 */
export function evaluateScalars({ scalars }: Program, inputs: ScalarInputs, registers: Float64Array): void {
  for (let index = 0; index < scalars.length; index += 1) {
    const instruction = scalars[index] as ScalarInstruction;
    registers[index] =
      instruction.op === "total"
        ? (inputs.totals?.get(index) ?? Number.NaN)
        : evaluateScalar(instruction, registers, inputs);
  }
}

/** One instruction, from the registers before it: for a backend that computes some of them elsewhere. */
export function evaluateScalar(
  instruction: Exclude<ScalarInstruction, { readonly op: "total" }>,
  registers: ArrayLike<number>,
  inputs: ScalarInputs,
): number {
  switch (instruction.op) {
    case "const":
      return instruction.value;
    case "hyper": {
      const value = inputs.hyperparameters[instruction.name];
      return typeof value === "object" ? (value[instruction.index] as number) : (value as number);
    }
    case "step":
      return inputs.step;
    case "scalarSlot":
      return inputs.scalarSlots.get(instruction.name) as number;
    case "reduced":
      return inputs.sums[instruction.reduction] ?? Number.NaN;
    case "rows":
      return inputs.extents?.rows ?? Number.NaN;
    case "cols":
      return inputs.extents?.cols ?? Number.NaN;
    case "size":
      return (inputs.extents?.rows ?? Number.NaN) * (inputs.extents?.cols ?? Number.NaN);
    default: {
      const { op, a, b = a, condition = a } = instruction as Operation;
      const read = (register: number): number => registers[register] as number;
      return operations[op](read(a), read(b), read(condition));
    }
  }
}
