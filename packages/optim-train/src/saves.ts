import type { RunStore, SavedRun } from "./run-store.ts";
import type { Wrappers } from "./wrappers.ts";

/** The saves of a run: asked for at any time, taken between iterations, written while training goes on. */
export class Saves {
  readonly #store: RunStore | undefined;
  readonly #onError: ((error: unknown) => void) | undefined;
  readonly #wanted = new Set<string | undefined>();
  #writing: Promise<string | undefined> = Promise.resolve(undefined);
  /** The iteration of the newest. */
  savedAt = -1;

  constructor(store: RunStore | undefined, onError: ((error: unknown) => void) | undefined) {
    this.#store = store;
    this.#onError = onError;
  }

  want(name?: string): void {
    if (this.#store) this.#wanted.add(name);
  }

  get wanted(): boolean {
    return this.#wanted.size > 0;
  }

  forget(): void {
    this.#wanted.clear();
  }

  /** Takes a copy of everything, after the save before is written. */
  async take(optim: Wrappers, run: Promise<SavedRun>): Promise<void> {
    const names = [...this.#wanted];
    this.#wanted.clear();
    try {
      await this.#writing;
      const taken = await run;
      const write = await (this.#store as RunStore).take(optim, taken);
      if (names.includes(undefined)) this.savedAt = taken.iteration;
      this.#writing = this.#write(names, write);
      // Whoever waits for it is told.
      this.#writing.catch(() => undefined);
    } catch (error) {
      this.#writing = Promise.resolve(undefined);
      if (this.#onError === undefined) throw error;
      this.#onError(error);
    }
  }

  async #write(
    names: readonly (string | undefined)[],
    write: (name?: string) => Promise<string>,
  ): Promise<string | undefined> {
    try {
      let last: string | undefined;
      for (const name of names) last = await write(name);
      return last;
    } catch (error) {
      if (this.#onError === undefined) throw error;
      this.#onError(error);
      return undefined;
    }
  }

  /** Waits for the save in progress. @returns the name of its file. @throws what the store rejects with */
  async written(): Promise<string | undefined> {
    return this.#writing;
  }
}
