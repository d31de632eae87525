import type {
  AnyOptimWrapper,
  LoadOptions,
  LossScaler,
  OptimWrapperStateDict,
  PreparedLoad,
} from "@mm/optim-core";
import { gather, type Named, prefixed } from "./gather.ts";
import { list, refuse } from "./refuse.ts";
import { isObject, type Wrappers } from "./wrappers.ts";

/**
 * What a dict saves: the state of every wrapper under its name. Plain data, neutral between backends, nothing shared with the
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

type SavedWrappers = ReadonlyMap<string, OptimWrapperStateDict>;

/** Every wrapper stages its part; where one refuses, what the others have staged is freed. */
export async function prepareWrappers(
  wrappers: Wrappers,
  state: OptimWrapperDictStateDict,
  options: DictLoadOptions,
): Promise<PreparedLoad> {
  const saved = savedWrappers(state);
  const names = [...wrappers.keys()];
  const missing = names.filter((name) => !saved.has(name));
  const unexpected = [...saved.keys()].filter((name) => !wrappers.has(name));
  if (options.strict !== false && missing.length + unexpected.length > 0) {
    refuse("state-mismatch", ": state", `wrappers ${list(names)}`, [...saved.keys()], {
      missing,
      unexpected,
    });
  }
  const present = [...wrappers].filter(([name]) => saved.has(name));
  if (options.restore?.lossScaler !== false) refuseDifferentScales(present, saved);

  const { rename } = options;
  const staged = await gather(
    present,
    (wrapper, name) =>
      wrapper.prepareLoad(saved.get(name) as OptimWrapperStateDict, {
        ...(options as LoadOptions),
        ...(rename && { rename: (parameter) => rename(parameter, name) }),
      }),
    (load) => load.dispose(),
  );
  return {
    commit() {
      const reports = staged.map(([name, load]) => [name, load.commit()] as const);
      return {
        missing: [...missing, ...prefixed(reports, "missing")],
        unexpected: [...unexpected, ...prefixed(reports, "unexpected")],
      };
    },
    dispose: () => staged.forEach(([, load]) => load.dispose()),
  };
}

function savedWrappers(state: OptimWrapperDictStateDict | null): SavedWrappers {
  const { format, version, wrappers } = (state ?? {}) as Partial<OptimWrapperDictStateDict>;
  if (format !== "optim-wrapper-dict" || version !== 1 || !isObject(wrappers)) {
    refuse("invalid-state", ": state", 'format "optim-wrapper-dict", version 1', state);
  }
  return new Map(Object.entries(wrappers));
}

/** Wrappers that share a loss scaler save it each; of copies that differ, none can be chosen. */
function refuseDifferentScales(wrappers: readonly Named<AnyOptimWrapper>[], saved: SavedWrappers): void {
  const copies = new Map<LossScaler, string>();
  for (const [name, { lossScaler }] of wrappers) {
    const state = saved.get(name)?.lossScaler;
    if (lossScaler === undefined || state === undefined) continue;
    const copy = JSON.stringify(state);
    const other = copies.get(lossScaler) ?? copy;
    if (other !== copy)
      refuse("state-mismatch", `: ${name}.lossScaler`, `${other}, since it is shared`, copy);
    copies.set(lossScaler, copy);
  }
}
