/** Flat numbers by name: `"generator.loss"`, `"generator.lr"`, `"perSecond"`. */
export type Metrics = { readonly [name: string]: number };

/** How far a run is. */
export interface RunProgress {
  /** Iterations in all; Infinity where there is no end. */
  readonly until: number;
  /** Where this loop began: 0, or where the run went on. */
  readonly began: number;
  /** Iterations that are done. */
  readonly iteration: number;
  /** Of training. */
  readonly seconds: number;
}

/**
 * Takes the metrics of an iteration, or of whatever the loop counts. A run hands in how far it is, and waits for a promise.
 *
 * @param run absent where the caller is no run
 */
export type MetricsSink = (step: number, metrics: Metrics, run?: RunProgress) => void | Promise<void>;
