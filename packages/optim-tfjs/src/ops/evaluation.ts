import {
  axesOfReduction,
  type MatrixRoutine,
  type TensorReduction,
  type UniformSource,
  type StepClip,
} from "@mm/optim-core/backend";
import type { Axes } from "@mm/optim-core/rule";
import * as tf from "@tensorflow/tfjs-core";
import { createNodes } from "./elements.ts";
import type { OpsItem } from "./ops-engine.ts";
import { orthogonalized } from "./orthogonalize.ts";
import { reduce } from "./reduce.ts";
import { createRegisters } from "./scalars.ts";
import { reshaped, shapesOf, spread } from "./shapes.ts";
import type { TensorCell } from "./tensor-cell.ts";
import type { Constants, Value } from "./value.ts";

/** The inputs of a program beside the parameter and its state. */
export interface EvaluationInputs {
  /** The factor of the raw gradient. */
  readonly factor: Value;
  readonly clipGrad: StepClip | undefined;
  readonly constant: Constants;
  /** The parameter's step count, this step included. */
  step(): Value;
  /** Sums over all tensors of the rule, by register, as far as they are known. */
  readonly totals?: ReadonlyMap<number, Value> | undefined;
  /** Registers that are known already; takes those that are computed. */
  readonly registers?: Value[];
}

/**
 * The values of a program for one item. Each is computed by tfjs ops when it is first asked for, and kept: what it depends on is known by
 * then, in whatever order. Ask in a tidy.
 */
export interface Evaluation {
  /** A scalar where it is the same everywhere, else in the shape of its axes ({@link shapesOf}). */
  node(index: number): Value;
  register(index: number): Value;
  uniform(index: number): Value;
}

export function createEvaluation(
  { parameter, program, slots }: OpsItem,
  { factor, clipGrad, constant, step, totals, registers = [] }: EvaluationInputs,
): Evaluation {
  const shapes = shapesOf(program, parameter);
  const reductions: tf.Tensor[] = [];
  const reduced = (index: number): tf.Tensor => {
    const reduction = program.reductions[index] as TensorReduction;
    // Outside of the inner tidy, so that they stay.
    const operands = () => [node(reduction.a), node(reduction.b)] as const;
    return (reductions[index] ??= tidied(operands, (both) =>
      reduce(reduction, both, shapes(axesOfReduction(program, reduction)), constant),
    ));
  };
  const matrices: tf.Tensor[] = [];
  const matrix = (index: number): tf.Tensor => {
    const routine = program.matrices[index] as MatrixRoutine;
    const operand = () => node(routine.of);
    return (matrices[index] ??= tidied(operand, (of) =>
      orthogonalized(spread(of, shapes(3)), routine, constant),
    ));
  };
  const register = createRegisters(program, { parameter, step, reduced, totals }, registers);
  const clipValue = clipGrad?.type === "value" ? clipGrad.clipValue : 0;
  const uniform = (index: number): Value => {
    const source = program.uniforms[index] as UniformSource;
    const value =
      source.from === "scalar" ? register(source.register) : source.from === "clipValue" ? clipValue : factor;
    return typeof value === "number" ? constant(value) : value;
  };
  const node = createNodes(program, {
    param: () => reshaped(parameter.value, shapes(3)),
    grad: () => reshaped((parameter.accumulator as TensorCell).tensor, shapes(3)),
    slot: (slot) => reshaped((slots[slot] as TensorCell).tensor, shapes(program.slotAxes[slot] as Axes)),
    uniform,
    reduced,
    matrix,
    constant,
  });
  return { node, register, uniform };
}

/** `run` in a tidy of its own, on what stays when it ends. */
function tidied<T>(operands: () => T, run: (operands: T) => tf.Tensor): tf.Tensor {
  const made = operands();
  return tf.tidy(() => run(made));
}
