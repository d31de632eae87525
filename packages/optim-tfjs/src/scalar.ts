import type * as tf from "@tensorflow/tfjs-core";
import { owned } from "./owned.ts";
import { elementsOf } from "./transfer.ts";

/**
 * A tensor scalar with several owners: a loss scaler and the wrappers that latched its scale, or all parameters that took the same
 * number of steps. It outlives every `tf.tidy`, and is freed when its last owner lets go.
 */
export class SharedScalar {
  #tensor: tf.Scalar | undefined;
  #owners = 1;

  /** Takes a value that nobody owns; of one that is somebody's, a handle of its own. Absent where a subclass makes it. */
  constructor(value?: tf.Tensor) {
    if (value !== undefined) this.#tensor = owned(value) as tf.Scalar;
  }

  get tensor(): tf.Scalar {
    return (this.#tensor ??= owned(this.make()) as tf.Scalar);
  }

  retain(): this {
    this.#owners += 1;
    return this;
  }

  release(): void {
    this.#owners -= 1;
    if (this.#owners > 0) return;
    this.#tensor?.dispose();
    this.free();
  }

  /** Waits for the device. */
  async read(): Promise<number> {
    const isOurs = this.#tensor !== undefined;
    const tensor = this.#tensor ?? this.make();
    const reading = elementsOf(tensor);
    if (!isOurs) tensor.dispose();
    return (await reading)[0] as number;
  }

  /** The value as a tensor that nobody owns. */
  protected make(): tf.Tensor {
    throw new TypeError("a scalar without a value");
  }

  /** Lets go of what else it holds. */
  protected free(): void {}
}

/** A scalar of a step: a number where the host knows it, else what the device computes and nobody has waited for. */
export type StepScalar = number | SharedScalar;

/** Its form for tfjs ops. */
export function operand(scalar: StepScalar): number | tf.Scalar {
  return typeof scalar === "number" ? scalar : scalar.tensor;
}

/** Reads as of the call. Waits for the device where a scalar is there. */
export function readScalars(scalars: readonly StepScalar[]): Promise<readonly number[]> {
  return Promise.all(scalars.map(async (scalar) => (typeof scalar === "number" ? scalar : scalar.read())));
}

/** The number at once. Only for backends whose results are there when an op returns (cpu, wasm). */
export function hostNumber(scalar: StepScalar): number {
  return typeof scalar === "number" ? scalar : (scalar.tensor.dataSync()[0] as number);
}

/** Keeps the loss scale of a window alive, whatever its scaler does. */
export class Latch {
  #held: StepScalar | undefined;

  get held(): StepScalar | undefined {
    return this.#held;
  }

  hold(scalar: StepScalar | undefined): void {
    if (scalar === this.#held) return;
    if (scalar instanceof SharedScalar) scalar.retain();
    if (this.#held instanceof SharedScalar) this.#held.release();
    this.#held = scalar;
  }
}
