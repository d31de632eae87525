import type { LoadOptions, LossScaler, OptimWrapperStateDict, PreparedLoad } from "@mm/optim-core";
import { gather, prefixed } from "./gather.ts";
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

const who = "prepareLoad";

/** Every wrapper stages its part; where one refuses, what the others have staged is freed. */
export async function prepareWrappers(
  wrappers: Wrappers,
  state: OptimWrapperDictStateDict,
  options: DictLoadOptions,
): Promise<PreparedLoad> {
  const { format, version, wrappers: parts } = Object(state) as Partial<OptimWrapperDictStateDict>;
  if (format !== "optim-wrapper-dict" || version !== 1 || !isObject(parts)) {
    refuse("invalid-state", who, "a dict's state, version 1", state);
  }
  const saved = new Map(Object.entries(parts));
  const missing = [...wrappers.keys()].filter((name) => !saved.has(name));
  const unexpected = [...saved.keys()].filter((name) => !wrappers.has(name));
  if (options.strict !== false && missing.length + unexpected.length > 0) {
    refuse("state-mismatch", who, list(wrappers.keys()), [...saved.keys()], { missing, unexpected });
  }
  const present = [...wrappers].filter(([name]) => saved.has(name));

  // Wrappers that share a loss scaler save it each; of copies that differ, none can be chosen.
  const copies = new Map<LossScaler, string>();
  for (const [name, { lossScaler }] of present) {
    const scale = options.restore?.lossScaler !== false && saved.get(name)?.lossScaler;
    if (!lossScaler || !scale) continue;
    const copy = JSON.stringify(scale);
    const other = copies.get(lossScaler) ?? copy;
    if (other !== copy)
      refuse("state-mismatch", `${who}: ${name}.lossScaler`, `${other}, since it is shared`, copy);
    copies.set(lossScaler, copy);
  }

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
