import type { RestoreOptions } from "@mm/optim-core";

/** How gradients that are not finite are met, and whether there is a loss scale. */
export type Precision = "propagate" | "skip" | "zero" | "throw" | "static" | "dynamic" | "shared";

export interface ModelOptions {
  readonly accumulativeCounts: number;
  readonly maxCounts: number | undefined;
  readonly precision: Precision;
  readonly clip:
    | { readonly maxNorm: number; readonly errorIfNonfinite?: boolean }
    | { readonly clipValue: number }
    | undefined;
  readonly gradNorm: boolean;
}

/** Gradients by parameter; one that is not named has none. */
export type Gradients = { readonly [name: string]: readonly number[] };

/** A call that a closure may not make. */
export type Reentry =
  | "updateParams"
  | "backward"
  | "step"
  | "skip"
  | "flush"
  | "zeroGrad"
  | "optimContext"
  | "initializeCountStatus"
  | "addParamGroup"
  | "freeze"
  | "unfreeze"
  | "prepareLoad"
  | "swapIn"
  | "dispose";

/** The outcome of a closure: its gradients, or an error of its own or of a call that it makes. */
export type Closure = Gradients | "throws" | Reentry;

/** How a call ended: whether it stepped, or what it was refused with. */
export type Outcome = "updated" | "not updated" | "threw" | `refused: ${string}`;

/** All that a state dict holds, and the parameters. */
interface Contents {
  parameters: Record<string, readonly number[]>;
  momentum: Record<string, readonly number[]>;
  /** Running averages of the parameters, from their first steps on. */
  averages: Record<string, readonly number[]>;
  /** Steps of each parameter. */
  taken: Record<string, number>;
  /** Sums of the window, without a loss scale. */
  sums: Record<string, readonly number[]>;
  frozen: readonly string[];
  /** By parameter: each is in a group of its own rate, or of that of others. */
  lr: Record<string, number>;
  innerCount: number;
  maxCounts: number | undefined;
  windowStart: number;
  divisor: number | undefined;
  weights: number;
  lossScale: number;
  /** Clean steps since the scale moved. */
  clean: number;
  /** Whether the window holds gradients that came without a loss scale: a scaler that joins them is not told of their step. */
  isPlain: boolean;
  steps: number;
  skipped: number;
}

/** The contents of a state dict, and the precision of the wrapper that it comes from. */
export interface Saved extends Contents {
  readonly precision: Precision;
}

export const initialLossScale = 64;
export const growthInterval = 2;
export const momentum = 0.5;
export const emaDecay = 0.5;

/**
 * A wrapper around gradient descent with momentum, in plain arithmetic, written from its documentation: windows that are divided by their weights, clipping,
 * loss scaling, freezing, and what is refused. Loss scales are powers of 2, so in float64 they leave no trace in a gradient that is finite.
 */
export class WrapperModel {
  accumulativeCounts: number;
  contents: Contents;
  #options: ModelOptions;
  /** Whether the program has said where the counts end: then a state does not. */
  #isAnnounced: boolean;
  /** Whether a state was loaded, and no micro-batch was counted since. */
  #isLoaded = false;
  /** A device says in the next read that a step was refused. */
  #decides: "host" | "device";
  #error: Outcome | undefined;
  /** Of the last step; after one that threw nobody says which. */
  gradNorm: number | "unknown" | undefined;
  /** Of the last step, by parameter; none once its gradients are overwritten. */
  gradNorms: { readonly [name: string]: number } = {};

  constructor(options: ModelOptions, parameters: Gradients, decides: "host" | "device") {
    this.#options = options;
    this.#decides = decides;
    this.#isAnnounced = options.maxCounts !== undefined;
    this.accumulativeCounts = options.accumulativeCounts;
    this.contents = {
      parameters: { ...parameters },
      momentum: {},
      averages: {},
      taken: {},
      sums: {},
      frozen: [],
      lr: Object.fromEntries(Object.keys(parameters).map((name) => [name, 0.5])),
      innerCount: 0,
      maxCounts: options.maxCounts,
      windowStart: 0,
      divisor: undefined,
      weights: 0,
      lossScale: this.#hasScale ? initialLossScale : 1,
      clean: 0,
      isPlain: !this.#hasScale,
      steps: 0,
      skipped: 0,
    };
  }

  get #hasScale(): boolean {
    return scales(this.#options.precision);
  }

  updateParams(closure: Closure, weight: number, returnLoss: boolean): Outcome {
    const refusal = this.#differentiate(closure, weight / this.#divisor, weight, returnLoss);
    return refusal ?? this.#endWhereFull();
  }

  backward(closure: Closure, scale: number, returnLoss: boolean): Outcome {
    return this.#differentiate(closure, scale, scale * this.#divisor, returnLoss) ?? "not updated";
  }

  /** Σ gradient × parameter. */
  lossOf(gradients: Gradients): number {
    const { parameters } = this.contents;
    return Object.entries(gradients).reduce(
      (sum, [name, gradient]) =>
        gradient.reduce((inner, value, index) => inner + value * (parameters[name]?.[index] ?? 0), sum),
      0,
    );
  }

  /** Says where the count stands, and where it ends. */
  announce(initCounts: number | undefined, maxCounts: number | undefined): Outcome {
    const { innerCount, windowStart } = this.contents;
    const goesOn = this.#isLoaded && (initCounts === undefined || initCounts === innerCount);
    if (maxCounts !== undefined && maxCounts < (goesOn ? innerCount : (initCounts ?? 0))) {
      return "refused: invalid-option";
    }
    const isOpen = innerCount > windowStart;
    if (isOpen && !goesOn) return "refused: window-open";
    if (!isOpen) {
      const begun = initCounts ?? 0;
      Object.assign(this.contents, { innerCount: begun, windowStart: begun, divisor: undefined, weights: 0 });
    }
    this.contents.maxCounts = maxCounts;
    this.#isAnnounced = maxCounts !== undefined;
    return "not updated";
  }

  add(name: string, values: readonly number[], lr: number): void {
    this.contents.parameters[name] = values;
    this.contents.lr[name] = lr;
  }

  skip(): Outcome {
    if (this.#isPast) return "refused: count-exceeded";
    this.#count(0);
    return this.#endWhereFull();
  }

  /** By hand: gradients and window stay. */
  step(rescale: number): Outcome {
    const outcome = this.#step(rescale);
    return outcome === "updated" ? "not updated" : outcome;
  }

  flush(): Outcome {
    const { innerCount, windowStart } = this.contents;
    return innerCount > windowStart ? this.#finish() : "not updated";
  }

  zeroGrad(): void {
    const { innerCount } = this.contents;
    const emptied = { sums: {}, windowStart: innerCount, divisor: undefined, weights: 0 };
    Object.assign(this.contents, emptied, { isPlain: !this.#hasScale });
    this.#isLoaded = false;
  }

  /** The divisor of the next loss in `updateParams`. */
  lossFactor(): { readonly value: number | Outcome } {
    return { value: this.#isPast ? "refused: count-exceeded" : this.#divisor };
  }

  /** The error that the next read is refused with, once. */
  takeError(): Outcome | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  save(pending: boolean): Saved {
    const saved = { ...structuredClone(this.contents), precision: this.precision };
    if (!pending) dropWindow(saved);
    return saved;
  }

  /** A state holds no parameters: these stay as they are. */
  load(saved: Saved, restore: RestoreOptions): void {
    const {
      hyperparameters = true,
      counts = true,
      lossScaler = true,
      pending = true,
      frozen = true,
    } = restore;
    const here = this.contents;
    const { precision, ...contents } = structuredClone(saved);
    const loaded = { ...contents, parameters: here.parameters };
    if (!hyperparameters) loaded.lr = here.lr;
    if (!frozen) loaded.frozen = here.frozen;
    if (!counts) {
      const { innerCount, maxCounts, steps, skipped } = here;
      Object.assign(loaded, { innerCount, maxCounts, steps, skipped });
    }
    if (this.#isAnnounced) loaded.maxCounts = here.maxCounts;
    if (!counts || !pending) dropWindow(loaded);
    // A static scale is the program's, and so is one that the state lacks.
    if (!lossScaler || !scales(precision) || ["static", ...plain].includes(this.precision)) {
      Object.assign(loaded, { lossScale: here.lossScale, clean: here.clean });
    }
    if (Object.keys(loaded.sums).length === 0) loaded.isPlain = !this.#hasScale;
    this.contents = loaded;
    this.gradNorms = {};
    this.#isLoaded = counts;
  }

  /** The `maxCounts` that the program has set. */
  get announced(): number | undefined {
    return this.#isAnnounced ? this.contents.maxCounts : undefined;
  }

  get precision(): Precision {
    return this.#options.precision;
  }

  /** Another wrapper has taken its state. */
  moved(decides: "host" | "device"): void {
    this.#isLoaded = true;
    this.#decides = decides;
    this.gradNorm = undefined;
    this.gradNorms = {};
  }

  /** Whether a state is one of these parameters. */
  fits({ parameters }: Contents): boolean {
    return Object.keys(parameters).join() === Object.keys(this.contents.parameters).join();
  }

  /** Into a wrapper with another precision: a loss scale that is new begins as its options say. */
  changePrecision(precision: Precision): void {
    const had = this.#hasScale;
    this.#options = { ...this.#options, precision };
    if (!this.#hasScale) Object.assign(this.contents, { lossScale: 1, clean: 0 });
    else if (!had || precision === "static")
      Object.assign(this.contents, { lossScale: initialLossScale, clean: 0 });
    if (Object.keys(this.contents.sums).length === 0) this.contents.isPlain = !this.#hasScale;
  }

  /** The parameters at which the model is evaluated. */
  get points(): Gradients {
    return { ...this.contents.parameters, ...this.contents.averages };
  }

  get isBoundary(): boolean {
    return this.#endsAt(this.contents.innerCount);
  }

  /** Whether the next micro-batch is the last of its window. */
  get syncs(): boolean {
    return this.#endsAt(this.contents.innerCount + 1);
  }

  #endsAt(count: number): boolean {
    return count % this.accumulativeCounts === 0 || count === this.contents.maxCounts;
  }

  get #isPast(): boolean {
    return this.contents.innerCount >= (this.contents.maxCounts ?? Infinity);
  }

  /** The length of the window, as it was known at its first micro-batch. */
  get #divisor(): number {
    const { innerCount, windowStart, divisor, maxCounts = Infinity } = this.contents;
    const end = (Math.floor(innerCount / this.accumulativeCounts) + 1) * this.accumulativeCounts;
    return divisor ?? Math.min(end, maxCounts) - windowStart;
  }

  #count(weight: number): void {
    this.contents.divisor = this.#divisor;
    this.contents.innerCount += 1;
    this.contents.weights += weight;
    this.#isLoaded = false;
  }

  /** The error that it is refused with; nothing has changed then. */
  #differentiate(closure: Closure, scale: number, weight: number, returnLoss: boolean): Outcome | undefined {
    if (this.#isPast) return "refused: count-exceeded";
    const { frozen, parameters, sums } = this.contents;
    // Of weight 0, and where everything is frozen, the closure runs for its loss alone.
    const learns = scale !== 0 && frozen.length < Object.keys(parameters).length;
    if (learns || returnLoss) this.gradNorms = {};
    if (learns || returnLoss) {
      if (closure === "throws") return "threw";
      if (typeof closure === "string") return "refused: reentrant";
    }
    if (learns) {
      const reached = Object.entries(closure as Gradients).filter(([name]) => !frozen.includes(name));
      if (reached.length === 0) return "refused: no-gradient";
      for (const [name, gradient] of reached)
        sums[name] = gradient.map((value, index) => (sums[name]?.[index] ?? 0) + scale * value);
    }
    this.#count(weight);
    return undefined;
  }

  #endWhereFull(): Outcome {
    return this.isBoundary ? this.#finish() : "not updated";
  }

  #finish(): Outcome {
    const { weights, divisor = 1 } = this.contents;
    const outcome = weights === 0 ? "not updated" : this.#step(divisor / weights);
    // A step that throws leaves the gradients pending.
    if (!outcome.startsWith("refused")) this.zeroGrad();
    return outcome;
  }

  #step(factor: number): Outcome {
    const { precision, clip, gradNorm } = this.#options;
    const { contents } = this;
    const live = Object.entries(contents.sums).filter(([name]) => !contents.frozen.includes(name));
    if (live.length === 0) return "not updated";
    const isFinite = live.every(([, sum]) => sum.every(Number.isFinite));
    // Gradients that carry a loss scale may have overflowed by it: where they are not finite they are no numbers of the loss.
    const raises =
      contents.isPlain &&
      (precision === "throw" ||
        (precision === "propagate" && clip !== undefined && "errorIfNonfinite" in clip));
    const isMeasured = gradNorm || (clip !== undefined && "maxNorm" in clip);
    if (!isFinite && raises && this.#decides === "host") {
      this.gradNorm = "unknown";
      return "refused: non-finite-gradient";
    }
    this.gradNorms = Object.fromEntries(
      live.map(([name, sum]) => [name, Math.abs(factor) * Math.hypot(...sum)] as const),
    );
    if (!isFinite && (this.#hasScale || !contents.isPlain || precision === "skip" || raises)) {
      contents.skipped += 1;
      this.gradNorm = isMeasured ? Number.NaN : undefined;
      if (raises) this.#error = "refused: non-finite-gradient";
      this.#moveScale(false);
      return "updated";
    }
    const gradients = live.map(([name, sum]) => {
      const kept = precision === "zero" ? sum.map((value) => (Number.isFinite(value) ? value : 0)) : sum;
      return [name, kept.map((value) => value * factor)] as const;
    });
    const norm = Math.sqrt(
      gradients.flatMap(([, all]) => all).reduce((sum, value) => sum + value * value, 0),
    );
    this.gradNorm = isMeasured ? norm : undefined;
    const clipped = (value: number): number => {
      if (clip === undefined) return value;
      if ("maxNorm" in clip) return value * Math.min(1, clip.maxNorm / (norm + 1e-6));
      return Math.max(-clip.clipValue, Math.min(clip.clipValue, value));
    };
    for (const [name, gradient] of gradients) {
      const before = contents.momentum[name];
      const moved = gradient.map((value, index) => momentum * (before?.[index] ?? 0) + clipped(value));
      contents.momentum[name] = moved;
      contents.taken[name] = (contents.taken[name] ?? 0) + 1;
      const were = contents.parameters[name] ?? [];
      const next = were.map((value, index) => value - (contents.lr[name] ?? 0) * (moved[index] as number));
      contents.parameters[name] = next;
      contents.averages[name] = (contents.averages[name] ?? were).map(
        (value, index) => emaDecay * value + (1 - emaDecay) * (next[index] as number),
      );
    }
    contents.steps += 1;
    this.#moveScale(true);
    return "updated";
  }

  #moveScale(wasClean: boolean): void {
    const { precision } = this.#options;
    if ((precision !== "dynamic" && precision !== "shared") || this.contents.isPlain) return;
    const { contents } = this;
    contents.clean = wasClean ? contents.clean + 1 : 0;
    if (!wasClean) contents.lossScale /= 2;
    else if (contents.clean === growthInterval) {
      contents.lossScale *= 2;
      contents.clean = 0;
    }
  }
}

const plain: readonly Precision[] = ["propagate", "skip", "zero", "throw"];
const scales = (precision: Precision): boolean => !plain.includes(precision);

/** The window begins anew where it stands. */
function dropWindow(contents: Contents): void {
  Object.assign(contents, { sums: {}, windowStart: contents.innerCount, divisor: undefined, weights: 0 });
}
