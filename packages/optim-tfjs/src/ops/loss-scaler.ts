import { type LossScalerStateDict, type LossScaleSettings, OptimError } from "@mm/optim-core";
import {
  checkedLossScalerState,
  checkedScale,
  type EngineLossScaler,
  lossScalerState,
  nextLossScale,
} from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, readScalars, SharedScalar, type StepScalar } from "../scalar.ts";
import { scoped } from "../scope.ts";
import { readOnContext } from "../webgl/lost.ts";
import { binary, finiteElements } from "./arithmetic.ts";

interface NextScale {
  /** What the step found, by identity. */
  readonly finite: StepScalar;
  readonly scale: SharedScalar;
  readonly growthTracker: SharedScalar;
}

/**
 * The loss scaler of all tfjs optimizers: numbers as long as its steps tell it numbers, scalar tensors from the first step that was
 * decided on the device. Then `update()` only enqueues.
 */
export class TfjsLossScaler implements EngineLossScaler<StepScalar> {
  readonly kind = "loss-scaler";
  readonly backend = "tfjs";
  readonly settings: LossScaleSettings;
  #scale: StepScalar;
  #growthTracker: StepScalar = 0;
  /** 1 while all steps since the last update found only finite gradients; absent when there was none. */
  #finite: StepScalar | undefined;
  /** What `update()` leads to, where a step has computed it already. */
  #next: NextScale | undefined;
  #disposed = false;

  constructor(settings: LossScaleSettings) {
    this.settings = settings;
    this.#scale = Math.fround(settings.initScale);
  }

  current(): StepScalar {
    this.#guard("a backward or a step");
    return this.#scale;
  }

  record(finite: StepScalar): void {
    this.#guard("a step");
    const before = this.#finite;
    if (before === undefined) this.#set(finite instanceof SharedScalar ? finite.retain() : finite);
    else if (typeof before === "number" && typeof finite === "number")
      this.#finite = Math.min(before, finite);
    else this.#set(scoped(() => new SharedScalar(tf.mul(operand(before), operand(finite)))));
  }

  /** Scale and count of steps since the last change; absent while it knows of a step that `update()` has not taken in. */
  get pending(): { readonly scale: StepScalar; readonly growthTracker: StepScalar } | undefined {
    return this.#finite === undefined
      ? { scale: this.#scale, growthTracker: this.#growthTracker }
      : undefined;
  }

  /** What the next `update()` leads to if the step that found this is the only one until then. Takes the scalars. */
  prepare(
    finite: StepScalar,
    next: { readonly scale: SharedScalar; readonly growthTracker: SharedScalar },
  ): void {
    this.#drop();
    this.#next = { ...next, finite };
  }

  update(newScale?: number): void {
    this.#guard("update");
    const next = this.#next;
    if (newScale !== undefined) this.#install(checkedScale(newScale), this.#growthTracker);
    else if (this.#finite !== undefined && this.settings.dynamic) {
      if (next?.finite === this.#finite) {
        this.#next = undefined;
        this.#install(next.scale, next.growthTracker);
      } else this.#advance(this.#finite);
    }
    this.#drop();
    this.#set(undefined);
  }

  async readScale(): Promise<number> {
    this.#guard("readScale");
    const [scale] = await readOnContext("readScale", () => readScalars([this.#scale]));
    return scale as number;
  }

  async stateDict(): Promise<LossScalerStateDict> {
    this.#guard("stateDict");
    const [scale, growthTracker] = await readOnContext("stateDict", () =>
      readScalars([this.#scale, this.#growthTracker]),
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
      this.#set(undefined);
    };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#install(1, 0);
    this.#drop();
    this.#set(undefined);
    this.#disposed = true;
  }

  #advance(finite: StepScalar): void {
    const [scale, tracker] = [this.#scale, this.#growthTracker];
    if (typeof scale === "number" && typeof tracker === "number" && typeof finite === "number") {
      const next = nextLossScale(this.settings, scale, tracker, finite === 0);
      this.#install(next.scale, next.growthTracker);
    } else {
      const next = scoped(() =>
        advanceOnDevice(this.settings, operand(scale), operand(tracker), operand(finite)),
      );
      this.#install(next.scale, next.growthTracker);
    }
  }

  #install(scale: StepScalar, growthTracker: StepScalar): void {
    if (scale !== this.#scale && this.#scale instanceof SharedScalar) this.#scale.release();
    if (growthTracker !== this.#growthTracker && this.#growthTracker instanceof SharedScalar)
      this.#growthTracker.release();
    this.#scale = scale;
    this.#growthTracker = growthTracker;
  }

  #drop(): void {
    this.#next?.scale.release();
    this.#next?.growthTracker.release();
    this.#next = undefined;
  }

  #set(finite: StepScalar | undefined): void {
    if (this.#finite instanceof SharedScalar) this.#finite.release();
    this.#finite = finite;
  }

  #guard(call: string): void {
    if (this.#disposed) {
      throw new OptimError("disposed", `loss scaler: ${call}`, {
        expected: "a loss scaler that was not disposed",
      });
    }
  }
}

/** GPUs take numbers below 2⁻¹²⁶ for 0, and a scale of 0 would skip every step from then on. */
export const floorOnGpu = (minScale: number): number => Math.max(minScale, 2 ** -126);

const keepsDenormals = (): boolean => ["cpu", "wasm"].includes(tf.getBackend());

/** The state machine of core's `LossScaler`, in scalar tensors. */
function advanceOnDevice(
  { growthFactor, backoffFactor, growthInterval, minScale }: LossScaleSettings,
  scale: number | tf.Tensor,
  tracker: number | tf.Tensor,
  finite: number | tf.Tensor,
): { readonly scale: SharedScalar; readonly growthTracker: SharedScalar } {
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
