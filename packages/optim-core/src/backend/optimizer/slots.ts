import type { StateEngine } from "../engine.ts";
import type { Parameter } from "../parameter.ts";
import { packBfloat16, unpackBfloat16 } from "../program/bfloat16.ts";
import { masterSlot } from "../program/reserved.ts";

/** Gives a parameter the slots of its group's structure that it lacks. */
export function ensureSlots<P, V, S>(
  engine: Pick<StateEngine<P, V, S>, "allocate" | "allocateCopy" | "scalar">,
  parameter: Parameter<P, V, S>,
): void {
  if (parameter.master === true && !parameter.slots.has(masterSlot)) {
    parameter.slots.set(masterSlot, engine.allocateCopy(parameter));
  }
  const { slots, scalarSlots } = parameter.group.initialSlots(parameter.view);
  const { shared } = parameter.group.everySlot;
  for (const [name, initial] of slots) {
    if (parameter.slots.has(name)) continue;
    const isCopy = initial === "param";
    parameter.slots.set(
      name,
      isCopy ? engine.allocateCopy(parameter) : allocateSlot(engine, parameter, name, initial),
    );
  }
  for (const [name, initial] of scalarSlots) {
    // Those of now are brought by the step.
    if (!shared.has(name) && !parameter.scalarSlots.has(name))
      parameter.scalarSlots.set(name, engine.scalar(initial));
  }
}

/** A vector for a slot, or for the pending gradient. */
export function allocateSlot<P, V, S>(
  engine: Pick<StateEngine<P, V, S>, "allocate">,
  parameter: Parameter<P, V, S>,
  slot: string,
  initial: number,
): V {
  const { group, view } = parameter;
  const places = group.slotPlaces(slot, view);
  if (!group.everySlot.packed.has(slot)) return engine.allocate(parameter, initial, places);
  const [both = 0] = packBfloat16(Float32Array.of(initial, initial));
  return engine.allocate(parameter, both, places, true);
}

/** Elements as the vector of a slot has them. */
export function toSlot<P, V, S>(
  { group }: Parameter<P, V, S>,
  slot: string,
  values: Float32Array,
): Float32Array {
  return group.everySlot.packed.has(slot) ? packBfloat16(values) : values;
}

/** The elements that were read from the vector of a slot. */
export function fromSlot<P, V, S>(
  { group, view }: Parameter<P, V, S>,
  slot: string,
  read: Float32Array,
): Float32Array {
  return group.everySlot.packed.has(slot) ? unpackBfloat16(read, group.slotLength(slot, view)) : read;
}
