import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { dictName, list } from "./names.ts";

export type Wrappers = ReadonlyMap<string, AnyOptimWrapper>;

// All methods of a wrapper.
const members: readonly (keyof AnyOptimWrapper & string)[] = [
  "updateParams",
  "backward",
  "step",
  "zeroGrad",
  "flush",
  "lossFactor",
  "shouldUpdate",
  "shouldSync",
  "initializeCountStatus",
  "optimContext",
  "addParamGroup",
  "getLr",
  "getMomentum",
  "freeze",
  "unfreeze",
  "stateDict",
  "loadStateDict",
  "prepareLoad",
  "prepareLoadSync",
  "readMetrics",
  "dispose",
];

/** @throws OptimError `invalid-option`, `invalid-name`, `invalid-wrapper`, `duplicate-wrapper` */
export function checkedWrappers(wrappers: object | null): Wrappers {
  // null is refused as a list is.
  if (typeof wrappers !== "object" || Symbol.iterator in (wrappers ?? [])) {
    refuse("invalid-option", dictName, "a record of wrappers", wrappers);
  }
  const checked = new Map<string, AnyOptimWrapper>();
  for (const [name, wrapper] of Object.entries(wrappers as Partial<Record<string, AnyOptimWrapper>>)) {
    const who = `${dictName}: ${name}`;
    if (!/^[^.]+$/.test(name)) refuse("invalid-name", dictName, "a name without a dot", name);
    const missing = members.filter((member) => typeof wrapper?.[member] !== "function");
    if (wrapper?.kind !== "optim-wrapper" || missing[0]) {
      refuse("invalid-wrapper", who, `a wrapper with ${list(missing)}`, wrapper);
    }
    for (const [other, known] of checked) {
      if (known === wrapper) refuse("duplicate-wrapper", who, `another wrapper than ${other}`, wrapper);
    }
    checked.set(name, wrapper);
  }
  return checked;
}
