/** Seconds of training: it stands still while something else is done. */
export class Clock {
  #seconds = 0;
  #since: number | undefined;

  get seconds(): number {
    return this.#seconds + (this.#since === undefined ? 0 : (performance.now() - this.#since) / 1000);
  }

  get runs(): boolean {
    return this.#since !== undefined;
  }

  start(): void {
    this.#since ??= performance.now();
  }

  stop(): void {
    this.set(this.seconds);
  }

  /** Stops it at so many seconds. */
  set(seconds: number): void {
    this.#seconds = seconds;
    this.#since = undefined;
  }
}
