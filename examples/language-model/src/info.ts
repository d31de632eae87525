import type { FoundRun, SavedRun } from "@mm/optim-train";
import type { OptimizerName, Settings } from "./settings.ts";

/** Says of a checkpoint which run it is of. */
export interface Info {
  readonly program: "language-model";
  readonly optimizer: OptimizerName;
  readonly settings: Settings;
}

/** @returns `undefined` for a checkpoint of another program */
export function infoOf({ run }: FoundRun): Info | undefined {
  const info = Object((run as SavedRun | undefined)?.info) as Partial<Info>;
  return info.program === "language-model" ? (info as Info) : undefined;
}
