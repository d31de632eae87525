import { refuse } from "@mm/optim-core/backend";

/** The numbers that a rule's hyperparameters hold: `"lr"`, `"betas[0]"`; and `"momentum"`, which for Adam and its kin is `betas[0]`. */
export type HyperparameterPath<H> = H extends unknown ? PathIn<H> : never;

/** How many micro-batches make a step: the wrapper's own number, of no group. */
export type WrapperPath = "accumulativeCounts";

type PathIn<H> =
  | {
      [K in keyof H & string]: H[K] extends number
        ? K
        : H[K] extends readonly unknown[]
          ? `${K}[${Extract<keyof H[K], `${number}`>}]`
          : never;
    }[keyof H & string]
  | (H extends { readonly momentum: number } | { readonly betas: readonly [number, ...number[]] }
      ? "momentum"
      : never);

/** Live settings of a group, or of the wrapper, its types forgotten. */
export type Settings = Record<string, unknown> & { readonly name?: unknown };

/** One number of the settings of every group that has it. */
export interface Hyperparameter {
  /** As a plan calls it. */
  readonly path: string;
  /** The same for two paths that lead to one number; `undefined` where the group has no such number. Groups may differ. */
  keyIn(settings: Settings): string | undefined;
  /** `undefined` where the group has no such number. */
  read(settings: Settings): number | undefined;
  /** @throws OptimError `invalid-hyperparameter` for what the rule refuses; the old value stays */
  write(settings: Settings, value: number): void;
  /** The number that is written for what schedules come to: the nearest whole one, where only whole ones will do. */
  round(value: number): number;
}

/** Whether a path leads to the wrapper's own number. */
export const isOfWrapper = (path: string): boolean => path === ("accumulativeCounts" satisfies WrapperPath);

/** The wrapper stands among the settings of its groups. */
const isWrapper = (settings: Settings): boolean => settings["kind"] === "optim-wrapper";

/** @throws OptimError `unknown-option` for a path that leads to a number in none of the groups; it lists those that do */
export function hyperparameterAt(where: string, path: string, groups: readonly Settings[]): Hyperparameter {
  const hyperparameter: Hyperparameter = {
    path,
    keyIn: (settings) => keyIn(settings, path),
    read(settings) {
      const key = keyIn(settings, path);
      return key === undefined ? undefined : (numberAt(settings, key) as number);
    },
    write(settings, value) {
      const [name, element] = split(keyIn(settings, path) ?? path);
      settings[name] =
        element === undefined
          ? value
          : (settings[name] as readonly number[]).map((old, index) => (index === element ? value : old));
    },
    round: (value) => (isOfWrapper(path) ? Math.max(1, Math.round(value)) : value),
  };
  // Every wrapper has it, and a plan may be checked before there is one.
  if (!isOfWrapper(path) && !groups.some((settings) => hyperparameter.keyIn(settings) !== undefined)) {
    const ofGroups = groups.filter((settings) => !isWrapper(settings)).flatMap(numbersOf);
    const known = new Set([...ofGroups, "accumulativeCounts" satisfies WrapperPath]);
    refuse("unknown-option", where, `one of ${[...known].join(", ")}`, path);
  }
  return hyperparameter;
}

/** Where a path leads in a group. A group of Adam and its kin has its momentum at `betas[0]`. */
function keyIn(settings: Settings, path: string): string | undefined {
  if (isWrapper(settings)) return isOfWrapper(path) ? path : undefined;
  const key = path === "momentum" && !("momentum" in settings) ? "betas[0]" : path;
  return typeof numberAt(settings, key) === "number" ? key : undefined;
}

function numberAt(settings: Settings, key: string): unknown {
  const [name, element] = split(key);
  if (!Object.hasOwn(settings, name)) return undefined;
  const value = settings[name];
  return element === undefined ? value : (value as readonly unknown[] | undefined)?.[element];
}

/** `"betas[0]"` as `["betas", 0]`, `"lr"` as `["lr", undefined]`. */
function split(key: string): readonly [name: string, element: number | undefined] {
  const [, name = key, element] = /^(\w+)\[(\d+)\]$/.exec(key) ?? [];
  return [name, element === undefined ? undefined : Number(element)];
}

function numbersOf(settings: Settings): readonly string[] {
  return Object.entries(settings).flatMap(([name, value]) => {
    if (Array.isArray(value)) {
      return value.flatMap((item, index) => (typeof item === "number" ? [`${name}[${index}]`] : []));
    }
    return typeof value === "number" ? [name] : [];
  });
}
