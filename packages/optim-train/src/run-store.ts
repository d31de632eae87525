import type { HyperparameterValue } from "@mm/optim-core";
import type { Wrappers } from "./wrappers.ts";

/** Where a run is kept. `checkpointStore(openCheckpoints("runs/a"))` of `@mm/optim-checkpoint` is one. */
export interface RunStore {
  /**
   * A copy of all that is trained, and of `run`, as of the call. Waits for the device.
   *
   * @returns what writes it while training goes on, as the newest or under a name of its own. It resolves to the name of the file
   */
  take(wrappers: Wrappers, run: SavedRun): Promise<(name?: string) => Promise<string>>;
  /** The newest that is good, or that of a name; `undefined` where there is none yet. */
  find(name?: string): Promise<FoundRun | undefined>;
}

/** A run that was found, and is not restored yet. */
export interface FoundRun {
  readonly name: string;
  /** A {@link SavedRun}, if the file is of a run: `resume` checks it. Its `info` has the settings that wrappers are made from. */
  readonly run: unknown;
  /** Loads all wrappers, parameters included, or none. */
  restore(
    wrappers: Wrappers,
    options: { readonly restore: { readonly hyperparameters: boolean } },
  ): Promise<unknown>;
}

/** The state of a run beside the wrappers: plain data, with the typed arrays that its parts put into it. */
export interface SavedRun {
  readonly format: "optim-run";
  readonly version: 1;
  readonly iteration: number;
  readonly seconds: number;
  readonly info?: unknown;
  readonly schedulers?: object;
  /** Of every wrapper (`""` for the only one) and every group of it. */
  readonly hyperparameters: { readonly [wrapper: string]: HyperparametersByGroup };
  readonly state: { readonly [name: string]: unknown };
}

export interface HyperparametersByGroup {
  readonly [group: string]: { readonly [name: string]: HyperparameterValue };
}
