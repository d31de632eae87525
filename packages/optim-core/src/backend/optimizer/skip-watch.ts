import { OptimError } from "../../errors.ts";
import type { EngineLossScaler } from "../engine.ts";

/** Skipped steps of one optimizer, without an update of the scaler between them, that are an error. */
const mostSkips = 20;

/**
 * Notices that a shared loss scaler is never updated: its scale stays what overflows, and every step is skipped for ever. Several steps before
 * one update, as a critic takes them, are fine.
 */
export class SkipWatch {
  /** `EngineLossScaler.updates` at the last step. */
  #updates: number | undefined;
  /** Steps, and of these the skipped ones that are known, since the scaler was updated. */
  #steps = 0;
  #skipped = 0;
  /** Steps since the last read of a device. */
  #unread = 0;
  /** The counter of skipped steps at the last read. */
  #seen = 0;
  /** Whether only a read tells that a step was skipped. */
  #readsTell = false;

  /**
   * A step was enqueued.
   *
   * @param finite 1 or 0 where the host decides; a handle where a device does
   * @throws OptimError `scaler-not-updated`
   */
  stepped(where: string, scaler: EngineLossScaler<unknown>, finite: unknown): void {
    if (!scaler.settings.dynamic) return;
    if (scaler.updates !== this.#updates) {
      this.#updates = scaler.updates;
      this.#steps = 0;
      this.#skipped = 0;
    }
    this.#steps += 1;
    this.#unread += 1;
    this.#readsTell = typeof finite !== "number";
    if (finite !== 0) return;
    this.#skipped += 1;
    if (this.#skipped > mostSkips) this.#refuse(where);
  }

  /**
   * Called when a read of a device begins; what it returns takes the counter of skipped steps that was read.
   *
   * @throws OptimError `scaler-not-updated`, from what is returned, once
   */
  beginRead(where: string): (skipped: number) => void {
    // Of the steps since the last read these came before the update; the skipped ones may be among them.
    const before = Math.max(0, this.#unread - this.#steps);
    const updates = this.#updates;
    this.#unread = 0;
    return (skipped) => {
      const since = skipped - this.#seen - before;
      this.#seen = skipped;
      if (!this.#readsTell || updates !== this.#updates) return;
      this.#skipped += Math.max(0, since);
      if (this.#skipped >= mostSkips) this.#refuse(where);
    };
  }

  /** The counter of skipped steps was overwritten by a load. */
  loaded(skipped: number): void {
    this.#seen = skipped;
  }

  #refuse(where: string): never {
    const received = `${this.#skipped} skipped steps without one`;
    this.#skipped = 0;
    throw new OptimError("scaler-not-updated", where, {
      expected: "update() of the shared loss scaler once an iteration",
      received,
      hint: "Call lossScaler.update() after the wrappers that share it have stepped",
    });
  }
}
