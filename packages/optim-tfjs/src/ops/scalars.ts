import {
  evaluateScalar,
  extentsOf,
  operandsOf,
  type Parameter,
  type Program,
  type ScalarInstruction,
} from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, SharedScalar, type StepScalar } from "../scalar.ts";
import { biasCorrection, binary, unary } from "./arithmetic.ts";
import type { Value } from "./value.ts";

/** The inputs of the scalar part of a rule, for one parameter and one step. */
export interface ScalarSources {
  readonly parameter: Parameter<tf.Variable, unknown, StepScalar>;
  /** The parameter's step count, this step included. */
  step(): Value;
  /** The result of a reduction per tensor. */
  reduced(reduction: number): Value;
  /** Sums over all tensors of the rule, by register. */
  readonly totals: ReadonlyMap<number, Value> | undefined;
}

/**
 * The registers of a program, each computed when it is first asked for: in float64 on the host as far as the host knows the operands, and in
 * scalar tensors from where one of them is known to the device only. Ask in a tidy.
 *
 * @param registers takes what was computed: another parameter whose scalars are the same may have it too
 */
export function createRegisters(
  program: Program,
  { parameter, step, reduced, totals }: ScalarSources,
  registers: Value[],
): (register: number) => Value {
  const inputs = {
    hyperparameters: parameter.group.values,
    // These are read here.
    step: Number.NaN,
    scalarSlots: new Map<string, number>(),
    sums: [],
    extents: extentsOf(parameter.view),
  };
  const at = (index: number): Value => (registers[index] ??= compute(index));
  const compute = (index: number): Value => {
    const instruction = program.scalars[index] as ScalarInstruction;
    switch (instruction.op) {
      case "const":
      case "hyper":
      case "size":
      case "rows":
      case "cols":
        return evaluateScalar(instruction, [], inputs);
      case "step":
        return step();
      case "scalarSlot":
        return scalarSlot(parameter.scalarSlots.get(instruction.name) as StepScalar, step());
      case "reduced":
        return reduced(instruction.reduction);
      case "total":
        return totals?.get(index) as Value;
      default: {
        const operands = operandsOf(instruction).map(at);
        // From the registers themselves: an operand that depends on the device may have become a number all the same.
        return operands.every((value) => typeof value === "number")
          ? evaluateScalar(instruction, registers as readonly number[], inputs)
          : onDevice(instruction, at);
      }
    }
  };
  return at;
}

/** Where the device counts the steps, it computes with a slot as with its own. */
function scalarSlot(slot: StepScalar, step: Value): Value {
  if (slot instanceof SharedScalar) return operand(slot);
  return typeof step === "number" ? slot : tf.scalar(slot);
}

type Operation = Extract<ScalarInstruction, { readonly a: number }>;

function onDevice(instruction: Operation, at: (register: number) => Value): Value {
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
    case "total":
      throw new TypeError("a total is none of one parameter's own");
    default:
      return binary[instruction.op](at(instruction.a), at(instruction.b));
  }
}
