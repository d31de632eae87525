import { refuse } from "@mm/optim-core/backend";
import type { ParameterRange } from "./port.ts";
import { bytesPerElement } from "./storage.ts";

export interface PlacedParameter extends ParameterRange {
  readonly name: string;
}

/**
 * Refuses ranges that share elements, which a step would update twice. Ranges that are the same are left to core, which knows where they
 * were written.
 *
 * @throws OptimError `duplicate-parameter`
 */
export function requireApart(parameters: readonly PlacedParameter[], who: string): void {
  const reached = new Map<
    GPUBuffer,
    { readonly name: string; readonly start: number; readonly end: number }
  >();
  const sorted = parameters.filter(({ length }) => length > 0).sort((a, b) => a.offset - b.offset);
  for (const { name, buffer, offset, length, dtype } of sorted) {
    const end = offset + bytesPerElement[dtype] * length;
    const before = reached.get(buffer);
    if (before !== undefined && offset < before.end && (offset !== before.start || end !== before.end)) {
      refuse(
        "duplicate-parameter",
        `${who}: parameter ${JSON.stringify(name)}`,
        `no element that is in ${JSON.stringify(before.name)} too, which ends at byte ${before.end}`,
        `one that begins at byte ${offset} of the same buffer`,
        { hint: "Give ranges of one buffer that do not overlap" },
      );
    }
    if (before === undefined || end > before.end) reached.set(buffer, { name, start: offset, end });
  }
}
