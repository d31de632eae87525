import type { StateEngine } from "../engine.ts";
import type { Parameter } from "../parameter.ts";
import { inMemory, lengthAlong } from "../program/extents.ts";
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
      isCopy
        ? engine.allocateCopy(parameter)
        : engine.allocate(parameter, initial, slotLength(parameter, name)),
    );
  }
  for (const [name, initial] of scalarSlots) {
    // Those of now are brought by the step.
    if (!shared.has(name) && !parameter.scalarSlots.has(name))
      parameter.scalarSlots.set(name, engine.scalar(initial));
  }
}

/** The elements of a slot, or of the pending gradient: of a slot per row or column, as many as there are. */
export function slotLength<P, V, S>({ group, view }: Parameter<P, V, S>, slot: string): number {
  return lengthAlong(view, inMemory(group.everySlot.axes.get(slot) ?? 3, view.transposed));
}
