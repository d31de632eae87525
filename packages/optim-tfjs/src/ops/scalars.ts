import { evaluateScalar, type Parameter, type Program, type ScalarInstruction } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, SharedScalar, type StepScalar } from "../scalar.ts";
import { biasCorrection, binary, unary } from "./arithmetic.ts";
import type { Value } from "./value.ts";

/** What the scalar part of a rule reads, for one parameter and one step. */
export interface ScalarInputs {
  readonly parameter: Parameter<tf.Variable, unknown, StepScalar>;
  /** The parameter's step count, this step included. */
  readonly step: Value;
  /** By norm number; empty for the first pass of a rule with norms. */
  readonly norms: readonly tf.Tensor[];
}

/**
 * Evaluates the scalar part: in float64 on the host as far as the host knows the operands, and in scalar tensors from where one of them
 * is known to the device only. Call it in a tidy.
 */
export function evaluateStepScalars(
  program: Program,
  { parameter, step, norms }: ScalarInputs,
): readonly Value[] {
  const scalarSlots = new Map<string, number>();
  for (const [name, value] of parameter.scalarSlots)
    if (typeof value === "number") scalarSlots.set(name, value);
  const inputs = {
    hyperparameters: parameter.group.values,
    step: typeof step === "number" ? step : Number.NaN,
    scalarSlots,
    sums: [],
  };
  const registers: Value[] = [];
  for (const instruction of program.scalars) {
    // From the registers themselves: an operand that depends on the device may have become a number all the same.
    registers.push(
      onDevice(instruction, registers, step, parameter.scalarSlots, norms) ??
        evaluateScalar(instruction as HostInstruction, registers as readonly number[], inputs),
    );
  }
  return registers;
}

type HostInstruction = Exclude<ScalarInstruction, { readonly op: "total" }>;

/** The value of an instruction that depends on the device; `undefined` where the host has it. */
function onDevice(
  instruction: ScalarInstruction,
  registers: readonly Value[],
  step: Value,
  scalarSlots: ReadonlyMap<string, StepScalar>,
  norms: readonly tf.Tensor[],
): Value | undefined {
  const at = (register: number): Value => registers[register] as Value;
  switch (instruction.op) {
    case "const":
    case "hyper":
      return undefined;
    case "step":
      return step;
    case "scalarSlot": {
      const slot = scalarSlots.get(instruction.name);
      if (slot instanceof SharedScalar) return operand(slot);
      return typeof step === "number" ? undefined : tf.scalar(slot as number);
    }
    case "reduced":
      return norms[instruction.reduction];
    case "size":
    case "rows":
    case "cols":
    case "total":
      throw new Error(`${instruction.op} is none that this backend says it knows`);
    default:
  }
  if (operands(instruction).every((register) => typeof at(register) === "number")) return undefined;
  switch (instruction.op) {
    case "select": {
      const condition = at(instruction.condition);
      const [a, b] = [at(instruction.a), at(instruction.b)];
      return typeof condition === "number" ? (condition === 1 ? a : b) : tf.where(condition, a, b);
    }
    case "exp":
      return tf.exp(at(instruction.a));
    case "log":
      return tf.log(at(instruction.a));
    case "pow":
      return tf.pow(at(instruction.a), at(instruction.b));
    case "biasCorrection":
      return biasCorrection(at(instruction.a), at(instruction.b));
    case "neg":
    case "sqrt":
    case "abs":
    case "sign":
      return unary[instruction.op](at(instruction.a));
    default:
      return binary[instruction.op](at(instruction.a), at(instruction.b));
  }
}

function operands(instruction: Extract<ScalarInstruction, { readonly a: number }>): readonly number[] {
  if ("condition" in instruction) return [instruction.condition, instruction.a, instruction.b];
  return "b" in instruction ? [instruction.a, instruction.b] : [instruction.a];
}
