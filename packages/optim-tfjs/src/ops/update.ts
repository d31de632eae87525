import {
  memo,
  type Program,
  type ScalarInstruction,
  type Totals,
  totalsOf,
  type StepClip,
} from "@mm/optim-core/backend";
import type { Axes } from "@mm/optim-core/rule";
import * as tf from "@tensorflow/tfjs-core";
import { hasOwner } from "../owned.ts";
import { operand, type StepScalar } from "../scalar.ts";
import { createEvaluation, type Evaluation } from "./evaluation.ts";
import type { OpsItem } from "./ops-engine.ts";
import { select } from "./select.ts";
import { reshaped, shapesOf, spread } from "./shapes.ts";
import type { TensorCell } from "./tensor-cell.ts";
import type { Constants, Value } from "./value.ts";

/** The part that all items of one step have in common. */
export interface StepFactors {
  readonly factor: Value;
  readonly clipGrad: StepClip | undefined;
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
export function prepareUpdates(items: readonly OpsItem[], step: StepFactors): () => void {
  const counts = new Map<StepScalar, StepScalar>();
  const taken = step.finite && tf.greater(step.finite, 0.5);
  const totals = totalsOf(
    items,
    (item, { operands }, known: Totals<Value>) => {
      // No more is kept of it than that: a tensor is computed once more than it is held beside all others.
      const { register } = evaluationOf(item, step, known);
      return tf.tidy(() => operands.map(register));
    },
    (a, b) => tf.add(a, b),
  );
  /** Tensors that have an owner when the step is done. */
  const given = new Set<tf.Tensor>();
  // Parameters of one group that took as many steps have the same scalars, unless they have scalars of their own.
  let last: { readonly item: OpsItem; readonly registers: Value[] } | undefined;
  const updates = items.map((item): Update => {
    const shares = last !== undefined && haveSameScalars(last.item, item);
    const registers: Value[] = shares ? (last?.registers ?? []) : [];
    last = { item, registers };
    const evaluation = evaluationOf(item, step, totals, registers);
    // In the tidy around, for the next ones.
    if (isCommon(item.program)) for (const index of item.program.uniforms.keys()) evaluation.uniform(index);
    return tidied(() => computed(item, evaluation, { ...step, taken, given }));
  });
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

function evaluationOf(
  item: OpsItem,
  { factor, clipGrad, constant, finite }: StepFactors,
  totals: Totals<Value> | undefined,
  registers: Value[] = [],
): Evaluation {
  const { step: count } = item.parameter;
  // A count is a number at first and after a load: where the device decides it computes with it as with its own, so that a run that
  // was saved and loaded goes on to the bit.
  const step = (): Value =>
    typeof count === "number" && finite === undefined ? count + 1 : tf.add(operand(count), constant(1));
  const known = totals?.of(item.program);
  return createEvaluation(item, { factor, clipGrad, constant, step, totals: known, registers });
}

/** The keys by which scalars of a tensor are its own. */
const ofTensor: ReadonlySet<ScalarInstruction["op"]> = /* @__PURE__ */ new Set([
  "scalarSlot",
  "reduced",
  "size",
  "rows",
  "cols",
  "total",
]);

const common = /* @__PURE__ */ new WeakMap<Program, boolean>();

/** Whether the scalars of a program depend on its group and the count of steps alone. */
const isCommon = (program: Program): boolean =>
  memo(common, program, () => !program.scalars.some(({ op }) => ofTensor.has(op)));

function haveSameScalars(a: OpsItem, b: OpsItem): boolean {
  return (
    a.program === b.program &&
    a.parameter.group === b.parameter.group &&
    a.parameter.step === b.parameter.step &&
    isCommon(a.program)
  );
}

/** The tensors that a step will put in the place of a parameter and of its state. */
interface Update {
  readonly param: tf.Tensor;
  readonly slots: readonly tf.Tensor[];
  readonly scalarSlots: readonly (readonly [name: string, scalar: StepScalar])[];
}

/** Exact up to 2²⁴ where the device counts. */
function nextCount(count: StepScalar, finite: tf.Tensor | undefined): Value {
  if (finite !== undefined) return tf.add(operand(count), finite);
  return typeof count === "number" ? count + 1 : tf.add(operand(count), 1);
}

/** Frees all but what the update needs. */
function tidied(compute: () => Update): Update {
  let update: Update | undefined;
  tf.tidy(() => {
    update = compute();
    return [update.param, ...update.slots];
  });
  return update as Update;
}

function computed(
  { parameter, program, slots }: OpsItem,
  { node, register }: Evaluation,
  {
    own,
    taken,
    given,
  }: Pick<StepFactors, "own"> & {
    readonly taken: tf.Tensor | undefined;
    readonly given: Set<tf.Tensor>;
  },
): Update {
  const shapes = shapesOf(program, parameter);
  const decisions = new Map<string, tf.Tensor>();
  const at = (index: number, axes: Axes, before: tf.Tensor): tf.Tensor => {
    let value = reshaped(spread(node(index), shapes(axes)), before.shape);
    if (taken !== undefined) {
      const decision = memo(decisions, before.shape.join(), () => spread(taken, before.shape));
      value = select(decision, value, before);
    }
    // A handle of its own where the next value was there before, in another slot or in the parameter, which lets go of it.
    else if (hasOwner(value) || given.has(value)) value = tf.clone(value);
    given.add(value);
    return value;
  };
  return {
    param: at(program.outputs.param, 3, parameter.value),
    slots: program.outputs.slots.map((output, slot) =>
      at(output, program.slotAxes[slot] as Axes, (slots[slot] as TensorCell).tensor),
    ),
    scalarSlots: program.scalarSlots.map((name, index) => {
      const scalar = register(program.scalarOutputs[index] as number);
      const before = operand(parameter.scalarSlots.get(name) as StepScalar);
      return [name, own(taken === undefined ? scalar : select(taken, scalar, before))] as const;
    }),
  };
}
