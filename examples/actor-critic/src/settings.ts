/** The settings that decide the numbers of a run. */
export interface Settings {
  readonly seed: number;
  /** Rollouts; after each, both networks are updated. */
  readonly iterations: number;
  readonly actorLr: number;
  readonly criticLr: number;
}

/** A recipe that works. */
export const defaultSettings: Settings = { seed: 1, iterations: 120, actorLr: 3e-3, criticLr: 3e-3 };
