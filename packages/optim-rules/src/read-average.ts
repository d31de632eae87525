import { type AnyOptimizer, type NamedTensors } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";

/**
 * The parameters, with a slot in their place where `holds` says of the scalar slots that the slot counts.
 *
 * @throws OptimError `unsupported` where the rule lacks `hyperparameter`, and so the slot
 */
export async function readAverage(
  optimizer: AnyOptimizer,
  who: string,
  slot: string,
  hyperparameter: string,
  holds: (scalarSlots: { readonly [slot: string]: number }) => boolean,
): Promise<NamedTensors> {
  if ((optimizer as Partial<AnyOptimizer> | null | undefined)?.kind !== "optimizer") {
    refuse("invalid-option", who, "an optimizer", optimizer, {
      hint: "That of a wrapper is wrapper.optimizer",
    });
  }
  if (!Object.hasOwn(optimizer.defaults, hyperparameter)) {
    refuse("unsupported", who, `an optimizer whose rule keeps the slot ${slot}`, optimizer.rule);
  }
  // Both are snapshots as of this call: no await stands between them.
  const [state, tensors] = await Promise.all([
    optimizer.stateDict({ pending: false }),
    optimizer.readParameters(),
  ]);
  for (const { name, slots, scalarSlots } of state.params) {
    const kept = slots[slot];
    if (kept !== undefined && holds(scalarSlots)) tensors[name]?.set(kept);
  }
  return tensors;
}
