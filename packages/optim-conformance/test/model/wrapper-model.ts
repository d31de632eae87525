/** How gradients that are not finite are met, and whether there is a loss scale. */
export type Precision = "propagate" | "skip" | "zero" | "static" | "dynamic" | "shared";

export interface ModelOptions {
  readonly accumulativeCounts: number;
  readonly maxCounts: number | undefined;
  readonly precision: Precision;
  readonly clip: { readonly maxNorm: number } | { readonly clipValue: number } | undefined;
}

/** Gradients by parameter; one that is not named has none. */
export type Gradients = { readonly [name: string]: readonly number[] };

/** What becomes of a closure that is run: its gradients, or an error of its own or of a call that it makes. */
export type Closure = Gradients | "throws" | "reentrant";

/** How a call ended: whether it stepped, or what it was refused with. */
export type Outcome = "updated" | "not updated" | "threw" | `refused: ${string}`;

/** All that a state dict holds, and the parameters. */
interface Contents {
  parameters: Record<string, readonly number[]>;
  momentum: Record<string, readonly number[]>;
  /** Steps of each parameter. */
  taken: Record<string, number>;
  /** Sums of the window, without a loss scale. */
  sums: Record<string, readonly number[]>;
  frozen: readonly string[];
  lr: number;
  innerCount: number;
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

export const initialLossScale = 64;
export const growthInterval = 2;
export const momentum = 0.5;

/**
 * A wrapper around gradient descent with momentum, in plain arithmetic, written from its documentation: windows that are divided by their weights, clipping,
 * loss scaling, freezing, and what is refused. Loss scales are powers of 2, so in float64 they leave no trace in a gradient that is finite.
 */
export class WrapperModel {
  accumulativeCounts: number;
  contents: Contents;
  #options: ModelOptions;

  constructor(options: ModelOptions, parameters: Gradients) {
    this.#options = options;
    this.accumulativeCounts = options.accumulativeCounts;
    this.contents = {
      parameters: { ...parameters },
      momentum: {},
      taken: {},
      sums: {},
      frozen: [],
      lr: 0.5,
      innerCount: 0,
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
    return ["static", "dynamic", "shared"].includes(this.#options.precision);
  }

  updateParams(closure: Closure, weight: number): Outcome {
    const refusal = this.#differentiate(closure, weight / this.#divisor, weight);
    return refusal ?? this.#endWhereFull();
  }

  backward(closure: Closure, scale: number): Outcome {
    return this.#differentiate(closure, scale, scale * this.#divisor) ?? "not updated";
  }

  skip(): Outcome {
    if (this.#isPast) return "refused: count-exceeded";
    this.#count(0);
    return this.#endWhereFull();
  }

  /** By hand: gradients and window stay. */
  step(rescale: number): Outcome {
    this.#step(rescale);
    return "not updated";
  }

  flush(): Outcome {
    const { innerCount, windowStart } = this.contents;
    return innerCount > windowStart ? this.#finish() : "not updated";
  }

  zeroGrad(): void {
    const { innerCount } = this.contents;
    const emptied = { sums: {}, windowStart: innerCount, divisor: undefined, weights: 0 };
    Object.assign(this.contents, emptied, { isPlain: !this.#hasScale });
  }

  save(): Contents {
    return structuredClone(this.contents);
  }

  load(saved: Contents): void {
    this.contents = structuredClone(saved);
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

  get isBoundary(): boolean {
    const { innerCount } = this.contents;
    return innerCount % this.accumulativeCounts === 0 || innerCount === this.#options.maxCounts;
  }

  get #isPast(): boolean {
    return this.contents.innerCount >= (this.#options.maxCounts ?? Infinity);
  }

  /** The length of the window, as it was known at its first micro-batch. */
  get #divisor(): number {
    const { innerCount, windowStart, divisor } = this.contents;
    const end = (Math.floor(innerCount / this.accumulativeCounts) + 1) * this.accumulativeCounts;
    return divisor ?? Math.min(end, this.#options.maxCounts ?? Infinity) - windowStart;
  }

  #count(weight: number): void {
    this.contents.divisor = this.#divisor;
    this.contents.innerCount += 1;
    this.contents.weights += weight;
  }

  /** What it is refused with; nothing has changed then. */
  #differentiate(closure: Closure, scale: number, weight: number): Outcome | undefined {
    if (this.#isPast) return "refused: count-exceeded";
    const { frozen, parameters, sums } = this.contents;
    // Of weight 0, and where everything is frozen, the closure does not run.
    if (scale !== 0 && frozen.length < Object.keys(parameters).length) {
      if (closure === "throws") return "threw";
      if (closure === "reentrant") return "refused: reentrant";
      const reached = Object.entries(closure).filter(([name]) => !frozen.includes(name));
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
    const updated = weights !== 0 && this.#step(divisor / weights);
    this.zeroGrad();
    return updated ? "updated" : "not updated";
  }

  /** @returns whether there was something to step */
  #step(factor: number): boolean {
    const { precision, clip } = this.#options;
    const { contents } = this;
    const live = Object.entries(contents.sums).filter(([name]) => !contents.frozen.includes(name));
    if (live.length === 0) return false;
    const isFinite = live.every(([, sum]) => sum.every(Number.isFinite));
    // Gradients that carry a loss scale may have overflowed by it: where they are not finite they are no numbers of the loss.
    if (!isFinite && (this.#hasScale || !contents.isPlain || precision === "skip")) {
      contents.skipped += 1;
      this.#moveScale(false);
      return true;
    }
    const gradients = live.map(([name, sum]) => {
      const kept = precision === "zero" ? sum.map((value) => (Number.isFinite(value) ? value : 0)) : sum;
      return [name, kept.map((value) => value * factor)] as const;
    });
    const norm = Math.sqrt(
      gradients.flatMap(([, all]) => all).reduce((sum, value) => sum + value * value, 0),
    );
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
      contents.parameters[name] = (contents.parameters[name] ?? []).map(
        (value, index) => value - contents.lr * (moved[index] as number),
      );
    }
    contents.steps += 1;
    this.#moveScale(true);
    return true;
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
