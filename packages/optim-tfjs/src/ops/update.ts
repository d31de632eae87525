import type { ClipGrad } from "@mm/optim-core";
import type { Program, StepItem } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, type StepScalar } from "../scalar.ts";
import { filled } from "../transfer.ts";
import { hasOwner } from "../owned.ts";
import { pNorm, type Value } from "./arithmetic.ts";
import type { Constants } from "./constants.ts";
import { evaluateElements } from "./elements.ts";
import { evaluateStepScalars } from "./scalars.ts";
import { select } from "./select.ts";
import type { TensorCell } from "./tensor-cell.ts";

type Item = StepItem<tf.Variable, TensorCell, StepScalar>;

/** What all items of one step have in common. */
export interface StepFactors {
  readonly factor: Value;
  readonly clipGrad: ClipGrad | undefined;
  /** 1 where the step is taken, 0 where it is skipped; absent where it is taken in any case. */
  readonly finite: tf.Tensor | undefined;
  readonly constant: Constants;
  /** Makes a scalar that outlives the step. */
  own(value: Value): StepScalar;
}

/** Update: each item's program as tfjs ops. A skipped step assigns what was there. */
export function updateAll(items: readonly Item[], step: StepFactors): void {
  const counts = new Map<StepScalar, StepScalar>();
  const taken = step.finite && tf.greater(step.finite, 0.5);
  // Parameters of one group that took as many steps have the same scalars, unless they have scalars of their own.
  let last: { readonly item: Item; readonly uniforms: readonly Value[] } | undefined;
  for (const item of items) {
    const { parameter, program } = item;
    const shares =
      last !== undefined &&
      last.item.program === program &&
      last.item.parameter.group === parameter.group &&
      last.item.parameter.step === parameter.step &&
      program.scalarSlots.length + program.norms.length === 0;
    const uniforms = shares ? last?.uniforms : undefined;
    last = { item, uniforms: updateOne(item, step, taken, uniforms) };
  }
  for (const { parameter } of items) {
    const { step: count } = parameter;
    let next = counts.get(count);
    if (next === undefined) counts.set(count, (next = step.own(nextCount(count, step.finite))));
    parameter.step = next;
  }
}

/** Exact up to 2²⁴ where the device counts. */
function nextCount(count: StepScalar, finite: tf.Tensor | undefined): Value {
  if (finite !== undefined) return tf.add(operand(count), finite);
  return typeof count === "number" ? count + 1 : tf.add(operand(count), 1);
}

function updateOne(
  item: Item,
  factors: StepFactors,
  taken: tf.Tensor | undefined,
  known?: readonly Value[],
): readonly Value[] {
  const { constant, own } = factors;
  const { parameter, program, slots } = item;
  const { value: variable, accumulator, shape, step: count } = parameter;
  const tensors = {
    param: variable as tf.Tensor,
    grad: (accumulator as TensorCell).tensor,
    slots: slots.map(({ tensor }) => tensor),
    constant,
  };
  let registers: readonly Value[] = [];
  const evaluate = (norms: readonly tf.Tensor[]): readonly Value[] => {
    // A count is a number at first and after a load: where the device decides it computes with it as with its own, so that a run that
    // was saved and loaded goes on to the bit.
    const step = typeof count === "number" && taken === undefined ? count + 1 : tf.add(operand(count), 1);
    registers = evaluateStepScalars(program, { parameter, step, norms });
    return uniformValues(program, registers, factors);
  };
  let uniforms = known ?? evaluate([]);
  if (program.norms.length > 0) {
    const values = evaluateElements(program, { ...tensors, uniforms }, Math.max(...program.norms));
    const norms = program.norms.map((node) => pNorm([spread(values[node] as Value, shape)], 2).norm);
    uniforms = evaluate(norms);
  }
  tf.tidy(() => {
    const values = evaluateElements(program, { ...tensors, uniforms }, program.nodes.length - 1);
    const decision = taken && spread(taken, shape);
    const at = (node: number, before: tf.Tensor): tf.Tensor => {
      const value = spread(values[node] as Value, shape);
      if (decision !== undefined) return select(decision, value, before);
      // A handle of its own where the next value was there before, in another slot or in the parameter, which lets go of it.
      return hasOwner(value) ? tf.clone(value) : value;
    };
    const param = at(program.outputs.param, tensors.param);
    const next = program.outputs.slots.map((node, slot) => at(node, tensors.slots[slot] as tf.Tensor));
    for (const [slot, tensor] of next.entries()) (slots[slot] as TensorCell).replace(tensor);
    variable.assign(param);
  });
  for (const [index, name] of program.scalarSlots.entries()) {
    const next = registers[program.scalarOutputs[index] as number] as Value;
    const before = operand(parameter.scalarSlots.get(name) as StepScalar);
    parameter.scalarSlots.set(name, own(taken === undefined ? next : select(taken, next, before)));
  }
  return uniforms;
}

/** One value per uniform of the program. */
export function uniformValues(
  program: Program,
  registers: readonly Value[],
  { factor, clipGrad, constant }: Pick<StepFactors, "factor" | "clipGrad" | "constant">,
): Value[] {
  const clipValue = clipGrad?.type === "value" ? clipGrad.clipValue : 0;
  return program.uniforms.map((source) => {
    const value =
      source.from === "scalar"
        ? (registers[source.register] as Value)
        : source.from === "clipValue"
          ? clipValue
          : factor;
    return typeof value === "number" ? constant(value) : value;
  });
}

/** A value that may be the same for all elements, as a tensor of the parameter's shape. */
function spread(value: Value, shape: readonly number[]): tf.Tensor {
  if (typeof value === "number") return filled(shape, value);
  return value.shape.length === shape.length ? value : tf.broadcastTo(value, [...shape]);
}
