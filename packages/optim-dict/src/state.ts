import {
  type LoadOptions,
  type LossScaler,
  OptimError,
  type OptimWrapperStateDict,
  type PreparedLoad,
} from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { gatherSync, type Named, prefixed } from "./gather.ts";
import { list } from "./names.ts";
import type { Wrappers } from "./wrappers.ts";

/**
 * The state of a dict: the state of every wrapper under its name. Plain data, neutral between backends, nothing shared with the
 * wrappers.
 */
export interface OptimWrapperDictStateDict<Name extends string = string> {
  readonly format: "optim-wrapper-dict";
  readonly version: 1;
  readonly wrappers: { readonly [K in Name]: OptimWrapperStateDict };
}

/** The options of a wrapper's load, for all of them. */
export interface DictLoadOptions<Name extends string = string> extends Omit<LoadOptions, "rename"> {
  /** The current name of the parameter that the wrapper `wrapperName` saved under `saved`. */
  readonly rename?: (saved: string, wrapperName: Name) => string;
}

/** Every wrapper stages its part; where one refuses, what the others have staged is freed. */
export function prepareWrappers(
  wrappers: Wrappers,
  state: OptimWrapperDictStateDict,
  options: DictLoadOptions | undefined,
): PreparedLoad {
  const who = "prepareLoad";
  const { format, version, wrappers: parts } = Object(state) as Partial<OptimWrapperDictStateDict>;
  if (format !== "optim-wrapper-dict" || version !== 1 || !parts) {
    refuse(
      "invalid-state",
      who,
      "a dict state, version 1",
      format === undefined ? withKeys(state) : [format, version],
      { hint: hintFor(state) },
    );
  }
  // The wrappers refuse what is wrong of the options.
  const { strict = true, rename, restore } = Object(options) as DictLoadOptions;
  const saved = new Map(Object.entries(parts));
  const missing = [...wrappers.keys()].filter((name) => !saved.has(name));
  const unexpected = [...saved.keys()].filter((name) => !wrappers.has(name));
  const errors: Named<unknown>[] = [];
  if (strict && (missing[0] ?? unexpected[0]) !== undefined) {
    const details = { expected: list(wrappers.keys()), received: [...saved.keys()], missing, unexpected };
    errors.push(["", new OptimError("state-mismatch", who, details)]);
  }

  // Wrappers that share a loss scaler save it each; of copies that differ, none can be chosen.
  const copies = new Map<LossScaler, string>();
  const staged = gatherSync(
    [...wrappers].filter(([name]) => saved.has(name)),
    (wrapper, name) => {
      const part = saved.get(name) as OptimWrapperStateDict;
      const { lossScaler } = wrapper;
      const copied = (part as OptimWrapperStateDict | undefined)?.lossScaler;
      if (lossScaler && copied && restore?.lossScaler !== false) {
        const copy = JSON.stringify(copied);
        const other = copies.get(lossScaler) ?? copy;
        if (other !== copy) refuse("state-mismatch", `${name}.lossScaler`, `${other} (shared)`, copy);
        copies.set(lossScaler, copy);
      }
      return wrapper.prepareLoad(
        part,
        typeof rename === "function"
          ? { ...options, rename: (parameter) => rename(parameter, name) }
          : (options as LoadOptions),
      );
    },
    errors,
  );
  return {
    commit() {
      const reports = staged.map(([name, load]) => [`${name}.`, load.commit()] as const);
      return {
        missing: [...missing, ...prefixed(reports, "missing")],
        unexpected: [...unexpected, ...prefixed(reports, "unexpected")],
        changed: prefixed(reports, "changed"),
        defaulted: prefixed(reports, "defaulted"),
      };
    },
    dispose: () => staged.forEach(([, load]) => load.dispose()),
  };
}

/** An object as its keys, which tell what it is. */
function withKeys(state: unknown): unknown {
  if (Object.prototype.toString.call(state) !== "[object Object]") return state;
  const keys = Object.keys(state as object).slice(0, 8);
  return keys.length > 0 ? `{ ${list(keys)} }` : "{}";
}

/** Advice for things that are often given in the place of a dict's state. */
function hintFor(state: unknown): string {
  const { format, optim } = Object(state) as { readonly format?: unknown; readonly optim?: unknown };
  if (format === "optim-wrapper")
    return "This is the state of one wrapper: load it with get(name).loadStateDict(state)";
  if (optim !== undefined) return "A checkpoint holds the state as optim: load checkpoint.optim";
  const parts: readonly unknown[] = Object.values(Object(state) as object);
  return parts.some(
    (part) => (part as { readonly format?: unknown } | null | undefined)?.format === "optim-wrapper",
  )
    ? "These are states of wrappers: load each with get(name).loadStateDict(state)"
    : "Pass what stateDict() of a dict gave";
}
