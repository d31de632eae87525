import type { AnyOptimWrapper } from "@mm/optim-core";
import { dictName, list, refuse } from "./refuse.ts";

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
  "readMetrics",
  "dispose",
];

/** @throws OptimError `invalid-option`, `invalid-name`, `invalid-wrapper`, `duplicate-wrapper` */
export function checkedWrappers(wrappers: object): Wrappers {
  const checked = new Map<string, AnyOptimWrapper>();
  if (!isObject(wrappers) || Symbol.iterator in wrappers) {
    refuse("invalid-option", dictName, "a record { name: wrapper }", wrappers);
  }
  for (const [name, wrapper] of Object.entries<Partial<AnyOptimWrapper> | undefined>({ ...wrappers })) {
    const who = `${dictName}: ${name}`;
    if (!name || name.includes(".")) refuse("invalid-name", dictName, "a name, without '.'", name);
    const missing = members.filter((member) => wrapper?.[member] === undefined);
    if (wrapper?.kind !== "optim-wrapper" || missing.length > 0) {
      refuse("invalid-wrapper", who, `an OptimWrapper, with ${list(missing)}`, wrapper);
    }
    for (const [other, known] of checked) {
      if (known === wrapper) refuse("duplicate-wrapper", who, "a wrapper of its own", `that of ${other}`);
    }
    checked.set(name, wrapper as AnyOptimWrapper);
  }
  return checked;
}

export const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
