export const backends = ["wasm", "cpu", "webgpu"] as const;
export type Backend = (typeof backends)[number];

export const rules = ["adam", "adamw", "sgd"] as const;

/** The settings that decide the numbers of a run. Saved in its checkpoints: a resumed run keeps them. */
export interface Settings {
  readonly tfjsBackend: Backend;
  readonly rule: (typeof rules)[number];
  readonly generatorLr: number;
  readonly discriminatorLr: number;
  /** The first beta of Adam and AdamW, the momentum of SGD. */
  readonly momentum: number;
  readonly weightDecay: number;
  /** Micro-batches per step. */
  readonly accumulate: number;
  /** The text of a configuration of both optimizers, which takes the place of all of these and of what follows on clipping. */
  readonly config?: string;
  readonly clipNorm?: number;
  readonly clipValue?: number;
  /** Images in a micro-batch. */
  readonly batch: number;
  /** Micro-batches for each of the two networks. */
  readonly iterations: number;
  readonly seed: number;
  /** Iterations between two lines of the metrics file. */
  readonly logEvery: number;
}

const learningRates = { adam: 2e-3, adamw: 2e-3, sgd: 0.1 };

/** A recipe that works, with what was `given` laid over it. */
export function completeSettings(given: Partial<Settings>): Settings {
  const rule = given.rule ?? "adam";
  return {
    tfjsBackend: "wasm",
    rule,
    generatorLr: learningRates[rule],
    discriminatorLr: learningRates[rule],
    momentum: 0.5,
    weightDecay: rule === "adamw" ? 0.01 : 0,
    accumulate: 1,
    batch: 32,
    iterations: 7000,
    seed: 1,
    logEvery: 10,
    ...given,
  };
}
