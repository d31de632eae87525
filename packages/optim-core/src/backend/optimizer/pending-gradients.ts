import type { EngineLossScaler, StepItem } from "../engine.ts";

/** A step whose gradients are still in the accumulators. */
export interface LastStep<P, V, S> {
  readonly items: readonly StepItem<P, V, S>[];
  readonly rescale: number;
  readonly lossScale: S | undefined;
}

/** The facts about gradients beside the gradients themselves. */
export class PendingGradients<P, V, S> {
  /** The loss scale that they carry. */
  #scale: S | undefined;
  /** Whether there are some that carry none. */
  #plain = false;
  /** Counts changes, so that a write can tell that they are not those that were read. */
  #changes = 0;
  #readAt: number | undefined;
  #lastStep: LastStep<P, V, S> | undefined;

  get scale(): S | undefined {
    return this.#scale;
  }

  get isPlain(): boolean {
    return this.#plain;
  }

  /** The loss scale of a backward or a step with this scaler. A scaler that was disposed refuses here. */
  scaleWith(scaler: EngineLossScaler<S> | undefined): S | undefined {
    const current = scaler?.current();
    return this.#plain ? undefined : (this.#scale ?? current);
  }

  /** Gradients were added that carry this scale. */
  latch(scale: S | undefined): void {
    this.restore(scale, scale === undefined);
  }

  /** A step took them. They stay in the accumulators, also when `clear` has declared them absent. */
  stepped(step: LastStep<P, V, S>): void {
    this.#lastStep = step;
    this.#changes += 1;
  }

  /** Absent where something else is in the accumulators by now. */
  get lastStep(): LastStep<P, V, S> | undefined {
    return this.#lastStep;
  }

  /** The accumulators are about to be written. */
  forgetStep(): void {
    this.#lastStep = undefined;
  }

  clear(): void {
    this.#scale = undefined;
    this.#plain = false;
    this.#changes += 1;
  }

  /** Those of a state took their place; `plain` where some came without a loss scale. */
  restore(scale: S | undefined, plain: boolean): void {
    this.clear();
    this.forgetStep();
    this.#scale = scale;
    this.#plain = plain;
  }

  markRead(): void {
    this.#readAt = this.#changes;
  }

  get changedSinceRead(): boolean {
    return this.#readAt !== undefined && this.#readAt !== this.#changes;
  }

  markWritten(): void {
    this.#readAt = undefined;
    this.forgetStep();
    this.#changes += 1;
  }
}
