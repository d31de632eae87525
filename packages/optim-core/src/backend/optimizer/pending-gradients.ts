import type { EngineLossScaler } from "../engine.ts";

/** The facts about pending gradients beside the gradients themselves. */
export class PendingGradients<S> {
  /** The loss scale that they carry. */
  #scale: S | undefined;
  /** Whether there are some that carry none. */
  #plain = false;
  /** Counts changes, so that a write can tell that they are not those that were read. */
  #changes = 0;
  #readAt: number | undefined;

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

  changed(): void {
    this.#changes += 1;
  }

  clear(): void {
    this.restore(undefined, false);
  }

  /** Those of a state took their place; `plain` where some came without a loss scale. */
  restore(scale: S | undefined, plain: boolean): void {
    this.#scale = scale;
    this.#plain = plain;
    this.#changes += 1;
  }

  markRead(): void {
    this.#readAt = this.#changes;
  }

  get changedSinceRead(): boolean {
    return this.#readAt !== undefined && this.#readAt !== this.#changes;
  }

  markWritten(): void {
    this.#readAt = undefined;
    this.#changes += 1;
  }
}
