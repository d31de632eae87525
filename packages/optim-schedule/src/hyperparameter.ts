import { refuse } from "@mm/optim-core/backend";

/** The numbers that a rule's hyperparameters hold: `"lr"`, `"betas[0]"`; and `"momentum"`, which for Adam and its kin is `betas[0]`. */
export type HyperparameterPath<H> =
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

/** Live settings of a group, its types forgotten. */
export type Settings = Record<string, unknown> & { readonly name?: unknown };

/** One number of every group's settings. */
export interface Hyperparameter {
  /** As a plan calls it. */
  readonly path: string;
  /** The same for two paths that lead to one number. */
  readonly key: string;
  read(settings: Settings): number;
  /** @throws OptimError `invalid-hyperparameter` for what the rule refuses; the old value stays */
  write(settings: Settings, value: number): void;
}

/** @throws OptimError `unknown-option` for a path that leads to no number; it lists those that do */
export function hyperparameterAt(where: string, path: string, defaults: object): Hyperparameter {
  const known = defaults as Settings;
  const key = path === "momentum" && !("momentum" in known) ? "betas[0]" : path;
  const [, name = key, element] = /^(\w+)\[(\d+)\]$/.exec(key) ?? [];
  const read = (settings: Settings): unknown =>
    element === undefined ? settings[name] : (settings[name] as readonly unknown[] | undefined)?.[+element];
  if (!Object.hasOwn(known, name) || typeof read(known) !== "number") {
    refuse("unknown-option", where, `one of ${numbersOf(known).join(", ")}`, path);
  }
  return {
    path,
    key,
    read: (settings) => read(settings) as number,
    write(settings, value) {
      settings[name] =
        element === undefined
          ? value
          : (settings[name] as readonly number[]).map((old, index) => (index === +element ? value : old));
    },
  };
}

function numbersOf(defaults: Settings): readonly string[] {
  return Object.entries(defaults).flatMap(([name, value]) => {
    if (Array.isArray(value)) return value.map((_, index) => `${name}[${index}]`);
    return typeof value === "number" ? [name] : [];
  });
}
