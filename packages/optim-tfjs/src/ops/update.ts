import type { ClipGrad } from "@mm/optim-core";
import { memo, type Program, type StepItem } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, type StepScalar } from "../scalar.ts";
import { filled } from "../transfer.ts";
import { hasOwner } from "../owned.ts";
import { pNorm } from "./arithmetic.ts";
import type { Constants, Value } from "./value.ts";
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
  /** `false` where steps and scalar slots stay: of an evaluation point. Default `true`. */
  readonly counts?: boolean;
  /** Makes a scalar that outlives the step. */
  own(value: Value): StepScalar;
}

/**
 * Update: each item's program as tfjs ops. A skipped step assigns what was there. Computes all of them, and returns what puts them in place,
 * which cannot fail: variables take a step together or not at all. Call both in one tidy.
 */
export function prepareUpdates(items: readonly Item[], step: StepFactors): () => void {
  const counts = new Map<StepScalar, StepScalar>();
  const taken = step.finite && tf.greater(step.finite, 0.5);
  const updates: Update[] = [];
  /** Tensors that have an owner when the step is done. */
  const given = new Set<tf.Tensor>();
  // Parameters of one group that took as many steps have the same scalars, unless they have scalars of their own.
  let last: { readonly item: Item; readonly uniforms: readonly Value[] } | undefined;
  for (const item of items) {
    const { parameter, program } = item;
    const shares =
      last !== undefined &&
      last.item.program === program &&
      last.item.parameter.group === parameter.group &&
      last.item.parameter.step === parameter.step &&
      program.scalarSlots.length + program.reductions.length === 0;
    const uniforms = shares ? last?.uniforms : undefined;
    const update = computed(item, { ...step, taken, given }, uniforms);
    updates.push(update);
    last = { item, uniforms: update.uniforms };
  }
  const next =
    step.counts !== false &&
    items.map(({ parameter }) =>
      memo(counts, parameter.step, () => step.own(nextCount(parameter.step, step.finite))),
    );
  return () => {
    for (const [index, { parameter, slots }] of items.entries()) {
      const update = updates[index] as Update;
      for (const [slot, tensor] of update.slots.entries()) (slots[slot] as TensorCell).take(tensor);
      parameter.value.assign(update.param);
      if (next === false) continue;
      for (const [name, scalar] of update.scalarSlots) parameter.scalarSlots.set(name, scalar);
      parameter.step = next[index] as StepScalar;
    }
  };
}

/** What a step will put in the place of a parameter and of its state. */
interface Update {
  readonly uniforms: readonly Value[];
  readonly param: tf.Tensor;
  readonly slots: readonly tf.Tensor[];
  readonly scalarSlots: readonly (readonly [name: string, scalar: StepScalar])[];
}

/** Exact up to 2²⁴ where the device counts. */
function nextCount(count: StepScalar, finite: tf.Tensor | undefined): Value {
  if (finite !== undefined) return tf.add(operand(count), finite);
  return typeof count === "number" ? count + 1 : tf.add(operand(count), 1);
}

function computed(
  { parameter, program, slots }: Item,
  factors: StepFactors & { readonly taken: tf.Tensor | undefined; readonly given: Set<tf.Tensor> },
  known?: readonly Value[],
): Update {
  const { constant, own, taken, given } = factors;
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
  if (program.reductions.length > 0) {
    const measured = program.reductions.map(({ a }) => a);
    const values = evaluateElements(program, { ...tensors, uniforms }, Math.max(...measured));
    const norms = measured.map((node) => pNorm([spread(values[node] as Value, shape)], 2).norm);
    uniforms = evaluate(norms);
  }
  const { param, next } = tf.tidy(() => {
    const values = evaluateElements(program, { ...tensors, uniforms }, program.nodes.length - 1);
    const decision = taken && spread(taken, shape);
    const at = (node: number, before: tf.Tensor): tf.Tensor => {
      let value = spread(values[node] as Value, shape);
      if (decision !== undefined) value = select(decision, value, before);
      // A handle of its own where the next value was there before, in another slot or in the parameter, which lets go of it.
      else if (hasOwner(value) || given.has(value)) value = tf.clone(value);
      given.add(value);
      return value;
    };
    return {
      param: at(program.outputs.param, tensors.param),
      next: program.outputs.slots.map((node, slot) => at(node, tensors.slots[slot] as tf.Tensor)),
    };
  });
  const scalarSlots = program.scalarSlots.map((name, index) => {
    const scalar = registers[program.scalarOutputs[index] as number] as Value;
    const before = operand(parameter.scalarSlots.get(name) as StepScalar);
    return [name, own(taken === undefined ? scalar : select(taken, scalar, before))] as const;
  });
  return { uniforms, param, slots: next, scalarSlots };
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
