import type { LossScalerStateDict, LossScaleSettings } from "@mm/optim-core";
import {
  checkedLossScalerState,
  checkedScale,
  type EngineLossScaler,
  lossScalerState,
  nextLossScale,
  refuse,
} from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, readScalars, SharedScalar, type StepScalar } from "../scalar.ts";
import { scoped } from "../scope.ts";
import { readOnContext } from "../webgl/lost.ts";
import { binary, finiteElements } from "./arithmetic.ts";

interface NextScale {
  /** The finding of the step, by identity. */
  readonly finite: StepScalar;
  readonly scale: SharedScalar;
  readonly growthTracker: SharedScalar;
}

/**
 * The loss scaler of all tfjs optimizers: numbers as long as its steps tell it numbers, scalar tensors from the first step that was
 * decided on the device. Then nothing waits, and what no step has computed is computed when the scale is asked for next: recording and
 * updating come after parameters were written, where nothing may fail any more.
 */
export class TfjsLossScaler implements EngineLossScaler<StepScalar> {
  readonly kind = "loss-scaler";
  readonly contract = 1;
  readonly backend = "tfjs";
  readonly settings: LossScaleSettings;
  #scale: StepScalar;
  #growthTracker: StepScalar = 0;
  /** For each step since the last update 1 or 0: whether it found only finite gradients. Two at most: asking for the scale joins them. */
  readonly #found: StepScalar[] = [];
  /** Whether they will make the next scale. */
  #due = false;
  /** The result of `update()`, where a step has computed it already. */
  #next: NextScale | undefined;
  #disposed = false;
  #updates = 0;
  readonly #onDevice: AdvanceOnDevice;

  /** @param onDevice how it moves on by what only the device knows. Default: by tfjs ops */
  constructor(settings: LossScaleSettings, onDevice: AdvanceOnDevice = advanceOnDevice) {
    this.settings = settings;
    this.#onDevice = onDevice;
    this.#scale = Math.fround(settings.initScale);
  }

  current(): StepScalar {
    this.#guard("a backward or a step");
    return this.#settled().scale;
  }

  record(finite: StepScalar): void {
    this.#guard("a step");
    this.#found.push(finite instanceof SharedScalar ? finite.retain() : finite);
  }

  /** Scale and count of steps since the last change; absent while it knows of a step that `update()` has not taken in. */
  get pending(): { readonly scale: StepScalar; readonly growthTracker: StepScalar } | undefined {
    const settled = this.#settled();
    return this.#found.length === 0 ? settled : undefined;
  }

  /** The result of the next `update()` if the step that found this is the only one until then. Takes the scalars. */
  prepare(
    finite: StepScalar,
    next: { readonly scale: SharedScalar; readonly growthTracker: SharedScalar },
  ): void {
    this.#drop();
    this.#next = { ...next, finite };
  }

  get updates(): number {
    return this.#updates;
  }

  update(newScale?: number): void {
    this.#guard("update");
    this.#updates += 1;
    const next = this.#next;
    const [finite, ...others] = this.#found;
    if (newScale !== undefined) {
      const scale = checkedScale(newScale);
      this.#install(scale, this.#settled().growthTracker);
    } else if (finite === undefined || !this.settings.dynamic) this.#forget();
    else if (others.length === 0 && next?.finite === finite) {
      this.#next = undefined;
      this.#install(next.scale, next.growthTracker);
    } else this.#due = true;
    this.#drop();
  }

  async readScale(): Promise<number> {
    this.#guard("readScale");
    const [scale] = await readOnContext("readScale", () => readScalars([this.#settled().scale]));
    return scale as number;
  }

  async stateDict(): Promise<LossScalerStateDict> {
    this.#guard("stateDict");
    const settled = this.#settled();
    const [scale, growthTracker] = await readOnContext("stateDict", () =>
      readScalars([settled.scale, settled.growthTracker]),
    );
    return lossScalerState(this.settings, scale as number, growthTracker as number);
  }

  prepareLoad(state: LossScalerStateDict): () => void {
    this.#guard("prepareLoad");
    const { scale, growthTracker } = checkedLossScalerState(state);
    return () => {
      if (this.#disposed || !this.settings.dynamic) return;
      this.#install(scale, growthTracker);
      this.#drop();
    };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#install(1, 0);
    this.#drop();
    this.#disposed = true;
  }

  #advance(finite: StepScalar): void {
    const [scale, tracker] = [this.#scale, this.#growthTracker];
    if (typeof scale === "number" && typeof tracker === "number" && typeof finite === "number") {
      const next = nextLossScale(this.settings, scale, tracker, finite === 0);
      this.#install(next.scale, next.growthTracker);
    } else {
      const next = this.#onDevice(this.settings, { scale, growthTracker: tracker, finite });
      this.#install(next.scale, next.growthTracker);
    }
  }

  /** The state after all updates that were asked for. */
  #settled(): { readonly scale: StepScalar; readonly growthTracker: StepScalar } {
    const [before, last] = this.#found;
    if (before !== undefined && last !== undefined) {
      const both = bothOf(before, last);
      for (const finite of this.#found.splice(0, 2, both))
        if (finite instanceof SharedScalar) finite.release();
    }
    const [finite] = this.#found;
    if (this.#due && finite !== undefined) this.#advance(finite);
    return { scale: this.#scale, growthTracker: this.#growthTracker };
  }

  /** Takes over a state, after which no step was taken yet. */
  #install(scale: StepScalar, growthTracker: StepScalar): void {
    if (scale !== this.#scale && this.#scale instanceof SharedScalar) this.#scale.release();
    if (growthTracker !== this.#growthTracker && this.#growthTracker instanceof SharedScalar)
      this.#growthTracker.release();
    this.#scale = scale;
    this.#growthTracker = growthTracker;
    this.#forget();
  }

  #drop(): void {
    this.#next?.scale.release();
    this.#next?.growthTracker.release();
    this.#next = undefined;
  }

  #forget(): void {
    for (const finite of this.#found.splice(0)) if (finite instanceof SharedScalar) finite.release();
    this.#due = false;
  }

  #guard(call: string): void {
    if (!this.#disposed) return;
    refuse("disposed", `loss scaler: ${call}`, "a loss scaler that was not disposed", "a disposed one");
  }
}

/** 1 where both are 1, else 0. */
function bothOf(a: StepScalar, b: StepScalar): StepScalar {
  if (typeof a === "number" && typeof b === "number") return Math.min(a, b);
  return scoped(() => new SharedScalar(tf.mul(operand(a), operand(b))));
}

/** GPUs take numbers below 2⁻¹²⁶ for 0, and a scale of 0 would skip every step from then on. */
export const floorOnGpu = (minScale: number): number => Math.max(minScale, 2 ** -126);

const keepsDenormals = (): boolean => ["cpu", "wasm"].includes(tf.getBackend());

/** The state of a loss scaler, and what the step after it has found. */
interface Advance {
  readonly scale: StepScalar;
  readonly growthTracker: StepScalar;
  readonly finite: StepScalar;
}

export type AdvanceOnDevice = (
  settings: LossScaleSettings,
  from: Advance,
) => { readonly scale: SharedScalar; readonly growthTracker: SharedScalar };

/** The state machine of core's `LossScaler`, in scalar tensors. */
export const advanceOnDevice: AdvanceOnDevice = (settings, from) =>
  scoped(() => advanced(settings, operand(from.scale), operand(from.growthTracker), operand(from.finite)));

function advanced(
  { growthFactor, backoffFactor, growthInterval, minScale }: LossScaleSettings,
  scale: number | tf.Tensor,
  tracker: number | tf.Tensor,
  finite: number | tf.Tensor,
): ReturnType<AdvanceOnDevice> {
  const clean = tf.greater(finite, 0.5);
  const count = tf.add(tracker, 1);
  const full = tf.greaterEqual(count, growthInterval);
  const grown = product(scale, growthFactor);
  const larger = tf.where(tf.logicalAnd(full, finiteElements(grown)), grown, scale);
  const smaller = binary.max(
    product(scale, backoffFactor),
    keepsDenormals() ? minScale : floorOnGpu(minScale),
  );
  return {
    scale: new SharedScalar(tf.where(clean, larger, smaller)),
    growthTracker: new SharedScalar(tf.where(tf.logicalAnd(clean, tf.logicalNot(full)), count, 0)),
  };
}

/**
 * scale × factor, rounded to float32 once, as on the host, where the factor is float64: both are split into halves whose products are
 * exact (Dekker, "A floating-point technique for extending the available precision", 1971). A power of two needs none of that.
 */
function product(scale: number | tf.Tensor, factor: number): tf.Tensor {
  const high = Math.fround(factor);
  if (Number.isInteger(Math.log2(factor))) return tf.mul(scale, factor);
  // Splitting multiplies by 4097, and halves of tiny numbers are lost: meanwhile the scale is of moderate size.
  const shift = tf.where(
    tf.greater(scale, 2 ** 60),
    2 ** -80,
    tf.where(tf.less(scale, 2 ** -40), 2 ** 80, 1),
  );
  const x = tf.mul(scale, shift);
  const spread = tf.mul(x, splitter);
  const [x1, f1] = [tf.sub(spread, tf.sub(spread, x)), upperHalf(high)];
  const [x2, f2] = [tf.sub(x, x1), high - f1];
  const rounded = tf.mul(x, high);
  const error = [tf.mul(x1, f2), tf.mul(x2, f1), tf.mul(x2, f2)].reduce(
    (sum, part) => tf.add(sum, part),
    tf.sub(tf.mul(x1, f1), rounded),
  );
  return tf.div(tf.add(rounded, tf.add(error, tf.mul(x, factor - high))), shift);
}

const splitter = 2 ** 12 + 1;

function upperHalf(high: number): number {
  const spread = Math.fround(high * splitter);
  return Math.fround(spread - Math.fround(spread - high));
}
