import type { FoundRun, SavedRun } from "@mm/optim-train";
import { type OptimizerName, optimizers, type Settings } from "./settings.ts";

/** Says of a checkpoint which run it is of. */
export interface Info {
  readonly program: "language-model";
  readonly optimizer: OptimizerName;
  readonly settings: Settings;
}

/** @returns `undefined` for a checkpoint of another program */
export function infoOf({ run }: FoundRun): Info | undefined {
  const info = Object((run as SavedRun | undefined)?.info) as { readonly [K in keyof Info]: unknown };
  const { program, optimizer, settings } = info;
  const counts = (["steps", "rows", "accumulate", "context", "layers", "width"] as const).map(
    (name) => (Object(settings) as { readonly [K in keyof Settings]: unknown })[name],
  );
  const inOrder =
    program === "language-model" &&
    (optimizers as readonly unknown[]).includes(optimizer) &&
    counts.every((count) => Number.isSafeInteger(count) && (count as number) > 0);
  return inOrder ? (info as Info) : undefined;
}
