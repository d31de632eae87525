import { isOptimError, type OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { CheckpointStorage } from "./checkpoint-storage.ts";
import { type Checkpoint, decodeCheckpoint, type DecodedCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import type { SafetensorsFile } from "./encode.ts";
import { fileNamed, newestFirst, nextName, requireFileName } from "./file-names.ts";
import { checkedKeep, type Keep, type KeepOptions } from "./keep.ts";
import type { ProgressOptions } from "./progress.ts";
import { Wholeness } from "./wholeness.ts";

export interface CheckpointsOptions {
  /**
   * How many are kept: the newest that are whole. At least 1; default 3; `Infinity` for all. With `{ newest, every }` those whose number is a
   * multiple of `every` stay too.
   */
  readonly keep?: number | KeepOptions;
  /** Told of an old checkpoint that could not be removed after a save, which succeeded. The next save tries again. */
  readonly onNotRemoved?: (left: SkippedCheckpoint) => void;
}

export interface SaveOptions extends ProgressOptions {
  /**
   * A name of its own: `"best"` is saved as `best.safetensors`, in the place of the one before. It is not numbered, `keep` does not count it and
   * `latest()` does not find it: `read("best.safetensors")` does.
   */
  readonly as?: string;
}

export interface FoundCheckpoint {
  /** Of its file. */
  readonly name: string;
  readonly checkpoint: DecodedCheckpoint;
  /** Newer ones that are damaged, newest first. */
  readonly skipped: readonly SkippedCheckpoint[];
}

/** A file that was left as it is, and the error with which it could not be read or removed. */
export interface SkippedCheckpoint {
  readonly name: string;
  readonly error: OptimError;
}

/**
 * The checkpoints of one run, `checkpoint-000001.safetensors` and on: every save has a higher number than all before it, also after a
 * run went back to an older one. `openCheckpoints` of `/node` and of `/browser` make it.
 *
 * Several processes may save to one place: none overwrites a file of another. But each removes what is more than it keeps, whoever wrote it.
 */
export class Checkpoints {
  readonly #storage: CheckpointStorage;
  readonly #keep: Keep;
  readonly #onNotRemoved: CheckpointsOptions["onNotRemoved"];
  readonly #wholeness: Wholeness;
  #saving: Promise<unknown> = Promise.resolve();

  /** @throws OptimError `invalid-option`, `unknown-option` */
  constructor(storage: CheckpointStorage, { keep = 3, onNotRemoved }: CheckpointsOptions = {}) {
    this.#storage = storage;
    this.#keep = checkedKeep(keep);
    this.#onNotRemoved = onNotRemoved;
    this.#wholeness = new Wholeness(storage);
  }

  /** Names of the files, newest first. */
  async list(): Promise<readonly string[]> {
    return newestFirst(await this.#storage.list());
  }

  /**
   * Saves one more, and then removes those that are more than `keep`. Damaged files do not count among those that are kept, and go when as
   * many newer ones are whole; so those that this object has neither written nor read are read once, a few megabytes at a time.
   *
   * Training may go on meanwhile; only the tensors of the checkpoint itself must be left alone. Saves of the same object are done one after
   * the other.
   *
   * @returns the name of its file
   * @throws OptimError errors of `encodeCheckpoint`; `invalid-name` for an `as` that is no name of a file; `storage-error` where it was not saved, and then those before it are as they were
   */
  async save(checkpoint: Checkpoint, { as, ...options }: SaveOptions = {}): Promise<string> {
    const name = as === undefined ? undefined : fileNamed(as, "checkpoints.save: as");
    const file = encodeCheckpoint(checkpoint);
    const saving = this.#saving.then(() =>
      name === undefined ? this.#save(file, options) : this.#saveAs(name, file, options),
    );
    this.#saving = saving.catch(() => undefined);
    return saving;
  }

  async #save(file: SafetensorsFile, options: ProgressOptions): Promise<string> {
    const name = await this.#storage.create(file, nextName, options);
    // It is saved: an error from here on is not that of the save.
    await this.#removeOld(name).catch((error: unknown) => {
      if (!isOptimError(error)) throw error;
    });
    return name;
  }

  async #saveAs(name: string, file: SafetensorsFile, options: ProgressOptions): Promise<string> {
    await this.#storage.replace(name, file, options);
    return name;
  }

  async #removeOld(saved: string): Promise<void> {
    await this.#wholeness.note(saved);
    let kept = 0;
    const names = await this.list();
    for (const name of names) {
      if (kept < this.#keep.newest) kept += name === saved || (await this.#wholeness.isWhole(name)) ? 1 : 0;
      // Another process may have saved later ones already: ours stays all the same.
      else if (name !== saved && !this.#keep.forGood(name)) await this.#remove(name);
    }
    this.#wholeness.keepOnly(names);
  }

  async #remove(name: string): Promise<void> {
    try {
      await this.#storage.remove(name);
    } catch (error) {
      if (!isOptimError(error)) throw error;
      this.#onNotRemoved?.({ name, error });
    }
  }

  /**
   * The newest one that is good: whole, and its bytes those that were written. `undefined` where there is none yet.
   *
   * @throws OptimError `invalid-state` where there are some and none is good; `storage-error` where nothing can be read at all
   */
  async latest(options: ProgressOptions = {}): Promise<FoundCheckpoint | undefined> {
    const failed = new Map<string, OptimError>();
    for (;;) {
      // Listed anew each time: another process may have removed what was listed, and saved a newer one.
      const names = await this.list();
      const skipped = names.flatMap((name) => {
        const error = failed.get(name);
        return error === undefined ? [] : [{ name, error }];
      });
      const next = names.find((name) => !failed.has(name));
      if (next === undefined) return noneOf(skipped);
      try {
        const checkpoint = await this.read(next, options);
        // All that are newer have failed.
        return { name: next, checkpoint, skipped: skipped.slice(0, names.indexOf(next)) };
      } catch (error) {
        if (!isOptimError(error) || !["invalid-state", "storage-error"].includes(error.code)) throw error;
        failed.set(next, error);
      }
    }
  }

  /**
   * Reads one by the name of its file.
   *
   * @throws OptimError `invalid-name` for anything but the name of a file in the folder, `invalid-state`, `storage-error`
   */
  async read(name: string, options: ProgressOptions = {}): Promise<DecodedCheckpoint> {
    requireFileName(name, "checkpoints.read");
    const checkpoint = await this.#storage.read(name, (source) => decodeCheckpoint(source, options));
    await this.#wholeness.note(name);
    return checkpoint;
  }
}

function noneOf(skipped: readonly SkippedCheckpoint[]): undefined {
  const [newest] = skipped;
  if (newest === undefined) return undefined;
  return refuse(
    "invalid-state",
    "latest",
    "a good checkpoint",
    skipped.map(({ name }) => name),
    { hint: `None of them is. The newest: ${newest.error.message}`, cause: newest.error },
  );
}
