import { isOptimError } from "@mm/optim-core";
import { verifyCheckpoint } from "./checkpoint.ts";
import type { CheckpointStorage } from "./checkpoint-storage.ts";

interface Verdict {
  readonly stamp: string | undefined;
  readonly whole: boolean;
}

/** Knows which files are whole, so that none is read for it twice. */
export class Wholeness {
  readonly #storage: CheckpointStorage;
  #known = new Map<string, Verdict>();

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  /** Notes a file that was just written, or read to its end. */
  async note(name: string): Promise<void> {
    try {
      this.#known.set(name, { stamp: await this.#storage.stamp?.(name), whole: true });
    } catch (error) {
      // It is read again when it matters.
      refused(error);
    }
  }

  /** Forgets the files that are not among these. */
  keepOnly(names: readonly string[]): void {
    const known = this.#known;
    this.#known = new Map(names.flatMap((name) => (known.has(name) ? [[name, known.get(name)!]] : [])));
  }

  /** Whether a file can be loaded. Reads it, unless it is known and has not changed. */
  async isWhole(name: string): Promise<boolean> {
    try {
      const stamp = await this.#storage.stamp?.(name);
      const known = this.#known.get(name);
      if (known !== undefined && known.stamp === stamp) return known.whole;
      const whole = await this.#storage.read(name, verifyCheckpoint).then(() => true, refused);
      this.#known.set(name, { stamp, whole });
      return whole;
    } catch (error) {
      return refused(error);
    }
  }
}

/** A file that is refused is not whole. An error of ours is thrown on. */
function refused(error: unknown): false {
  if (isOptimError(error)) return false;
  throw error;
}
