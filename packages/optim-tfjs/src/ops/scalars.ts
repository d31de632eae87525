import {
  evaluateScalar,
  extentsOf,
  memo,
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
  // A slot is a number at first and after a load. Where the device finds its next value, or counts the steps, it computes with it as with its own, so that a
  // run that was saved and loaded goes on to the bit.
  const scalarSlot = (name: string): Value => {
    const slot = parameter.scalarSlots.get(name) as StepScalar;
    if (slot instanceof SharedScalar) return operand(slot);
    const isHosts =
      typeof step() === "number" && !memo(found, program, () => slotsFoundBy(program)).has(name);
    return isHosts ? slot : tf.scalar(slot);
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
        return scalarSlot(instruction.name);
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

const found = /* @__PURE__ */ new WeakMap<Program, ReadonlySet<string>>();

/** The scalar slots whose next value depends on what the device finds, by way of other slots too. */
function slotsFoundBy({ scalars, scalarSlots, scalarOutputs }: Program): ReadonlySet<string> {
  const slots = new Set<string>();
  for (let before = -1; before < slots.size;) {
    before = slots.size;
    const onDevice: boolean[] = [];
    for (const instruction of scalars) {
      const { op } = instruction;
      const itself =
        op === "reduced" || op === "total" || (op === "scalarSlot" && slots.has(instruction.name));
      onDevice.push(itself || operandsOf(instruction).some((operand) => onDevice[operand]));
    }
    for (const [index, name] of scalarSlots.entries())
      if (onDevice[scalarOutputs[index] as number]) slots.add(name);
  }
  return slots;
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
