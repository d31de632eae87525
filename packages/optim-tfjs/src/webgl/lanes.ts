import {
  evaluateScalars,
  type HyperparameterGroup,
  type Program,
  type StepItem,
} from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import type { TensorCell } from "../ops/tensor-cell.ts";
import type { StepScalar } from "../scalar.ts";

export type Item = StepItem<tf.Variable, TensorCell, StepScalar>;

/** Parameters of a step whose scalars are the same: one program, one group, one step count, the same scalar slots. */
export interface Lane {
  readonly program: Program;
  readonly group: HyperparameterGroup;
  readonly count: StepScalar;
  /** In the order of `program.scalarSlots`. */
  readonly scalarSlots: readonly StepScalar[];
  readonly items: Item[];
}

/** The lanes of a step, each with its items in their order. */
export function lanesOf(items: readonly Item[]): readonly Lane[] {
  const lanes: Lane[] = [];
  let last: Lane | undefined;
  for (const item of items) {
    const { parameter, program } = item;
    const { group, step: count } = parameter;
    const slots = program.scalarSlots.map((name) => parameter.scalarSlots.get(name) as StepScalar);
    const fits = (lane: Lane): boolean =>
      lane.program === program &&
      lane.group === group &&
      Object.is(lane.count, count) &&
      slots.every((slot, index) => Object.is(slot, lane.scalarSlots[index]));
    if (last === undefined || !fits(last)) last = lanes.find(fits);
    if (last === undefined) lanes.push((last = { program, group, count, scalarSlots: slots, items: [] }));
    last.items.push(item);
  }
  return lanes;
}

/** Whether the host knows all that the lane's scalars depend on. */
export function isKnown({ count, scalarSlots }: Lane): boolean {
  return [count, ...scalarSlots].every((scalar) => typeof scalar === "number");
}

/** The registers of a lane, this step included; NaN for what only the device knows. */
export function registersOf({ program, group, count, scalarSlots }: Lane): Float64Array {
  const registers = new Float64Array(program.scalars.length);
  const known = new Map<string, number>();
  for (const [index, name] of program.scalarSlots.entries()) {
    const value = scalarSlots[index];
    known.set(name, typeof value === "number" ? value : Number.NaN);
  }
  const step = typeof count === "number" ? count + 1 : Number.NaN;
  evaluateScalars(program, { hyperparameters: group.values, step, scalarSlots: known, sums: [] }, registers);
  return registers;
}

/** Takes the step where the host knows all of it. */
export function countOnHost(lane: Lane): void {
  const registers = registersOf(lane);
  for (const { parameter } of lane.items) {
    parameter.step = (lane.count as number) + 1;
    for (const [slot, name] of lane.program.scalarSlots.entries())
      parameter.scalarSlots.set(name, registers[lane.program.scalarOutputs[slot] as number] as number);
  }
}
