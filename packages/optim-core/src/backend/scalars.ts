import type { HyperparameterRecord } from "../hyperparameters.ts";
import { binaryOps, unaryOps } from "./arithmetic.ts";
import type { Program, ScalarInstruction } from "./trace.ts";

/** What the scalar part of a rule reads, for one parameter tensor and one step. */
export interface ScalarInputs {
  readonly hyperparameters: HyperparameterRecord;
  /** The parameter's step count, from 1: this step included. */
  readonly step: number;
  readonly scalarSlots: ReadonlyMap<string, number>;
  /** By norm number; empty for the first pass of a rule with norms. */
  readonly norms: readonly number[];
}

/**
 * Evaluates the scalar part in float64. `registers` holds one value per instruction of `program.scalars` and is overwritten. A norm
 * that is not known yet reads as NaN: only the second pass uses what depends on it.
 */
export function evaluateScalars(program: Program, inputs: ScalarInputs, registers: Float64Array): void {
  const { scalars } = program;
  for (let index = 0; index < scalars.length; index += 1) {
    registers[index] = evaluate(scalars[index] as ScalarInstruction, registers, inputs);
  }
}

function evaluate(instruction: ScalarInstruction, r: Float64Array, inputs: ScalarInputs): number {
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
    case "norm":
      return inputs.norms[instruction.norm] ?? Number.NaN;
    case "select":
      return r[instruction.condition] === 1 ? (r[instruction.a] as number) : (r[instruction.b] as number);
    default:
      return "b" in instruction
        ? binaryOps[instruction.op](r[instruction.a] as number, r[instruction.b] as number)
        : unaryOps[instruction.op](r[instruction.a] as number);
  }
}

/**
 * Fills `uniforms`, one float32 per uniform of the program, from evaluated registers. Rounds to float32 here, once.
 */
export function fillUniforms(
  program: Program,
  registers: Float64Array,
  gradient: { readonly factor: number; readonly clipValue: number },
  uniforms: Float32Array,
): void {
  for (let index = 0; index < program.uniforms.length; index += 1) {
    const source = program.uniforms[index];
    if (source?.from === "scalar") uniforms[index] = registers[source.register] as number;
    else uniforms[index] = source?.from === "clipValue" ? gradient.clipValue : gradient.factor;
  }
}
