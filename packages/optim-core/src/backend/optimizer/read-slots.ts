import { refuse } from "../../errors.ts";
import type { NamedTensors } from "../../state.ts";
import type { OptimizerParts } from "./parts.ts";
import { ensureSlots, fromSlot } from "./slots.ts";

/** `Optimizer.readSlots`: all reads are started before the first await. */
export async function readSlots<P, V, S, Name extends string>(
  { engine, set, lifecycle }: OptimizerParts<P, V, S>,
  names: readonly Name[],
): Promise<{ readonly [N in Name]: NamedTensors }> {
  const where = lifecycle.at("readSlots");
  const given: unknown = names;
  if (!Array.isArray(given)) refuse("invalid-option", where, "an array of names of slots", given);
  const known = new Set(set.groups.flatMap((group) => [...group.everySlot.slots]));
  for (const name of names) {
    if (!known.has(name)) refuse("unknown-name", where, `slots among ${[...known].join(", ")}`, name);
  }
  const wanted = [...new Set(names)];
  const found = set.parameters.flatMap((parameter) => {
    if (parameter.stepped) ensureSlots(engine, parameter);
    return wanted.flatMap((slot) => {
      const vector = parameter.slots.get(slot);
      return vector === undefined ? [] : [{ slot, parameter, vector }];
    });
  });
  const tensors = await engine.read(found.map(({ vector }) => vector));
  const bySlot = new Map(wanted.map((slot) => [slot, Object.create(null) as Record<string, Float32Array>]));
  for (const [index, { slot, parameter }] of found.entries()) {
    const tensor = fromSlot(parameter, slot, tensors[index] as Float32Array);
    (bySlot.get(slot) as Record<string, Float32Array>)[parameter.name] = tensor;
  }
  return Object.fromEntries(bySlot) as { readonly [N in Name]: NamedTensors };
}
