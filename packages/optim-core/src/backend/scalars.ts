import type { HyperparameterRecord } from "../hyperparameters.ts";
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
    case "neg":
    case "sqrt":
    case "abs":
    case "sign":
    case "exp":
    case "log":
      return scalarUnary[instruction.op](r[instruction.a] as number);
    default:
      return scalarBinary[instruction.op](r[instruction.a] as number, r[instruction.b] as number);
  }
}

const scalarUnary = {
  neg: (a: number): number => -a,
  sqrt: (a: number): number => Math.sqrt(a),
  abs: (a: number): number => Math.abs(a),
  sign: (a: number): number => Math.sign(a) + 0,
  exp: (a: number): number => Math.exp(a),
  log: (a: number): number => Math.log(a),
};

const scalarBinary = {
  add: (a: number, b: number): number => a + b,
  sub: (a: number, b: number): number => a - b,
  mul: (a: number, b: number): number => a * b,
  div: (a: number, b: number): number => a / b,
  min: (a: number, b: number): number => Math.min(a, b),
  max: (a: number, b: number): number => Math.max(a, b),
  gt: (a: number, b: number): number => Number(a > b),
  lt: (a: number, b: number): number => Number(a < b),
  eq: (a: number, b: number): number => Number(a === b),
  pow: (a: number, b: number): number => a ** b,
  biasCorrection: (beta: number, t: number): number => 1 - beta ** t,
};

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
