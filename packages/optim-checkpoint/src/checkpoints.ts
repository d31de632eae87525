import { isOptimError, OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { type Checkpoint, decodeCheckpoint, type DecodedCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import type { SafetensorsFile } from "./encode.ts";
import type { ProgressOptions } from "./progress.ts";
import type { ByteSource } from "./source.ts";

/** Where checkpoints are kept: a folder, on disk or in the browser. */
export interface CheckpointStorage {
  /** Names of the files that are there; none where the place does not exist yet. */
  list(): Promise<readonly string[]>;
  /**
   * Writes a file whole or not at all, whatever happens meanwhile, and resolves when it would survive the loss of power.
   *
   * @throws OptimError `storage-error`
   */
  write(name: string, file: SafetensorsFile, options: ProgressOptions): Promise<void>;
  /** Opens a file for the time of `use`. @throws OptimError `storage-error` */
  read<T>(name: string, use: (source: ByteSource) => Promise<T>): Promise<T>;
  remove(name: string): Promise<void>;
}

export interface CheckpointsOptions {
  /** How many are kept, the newest. At least 1; default 3; `Infinity` for all. */
  readonly keep?: number;
}

export interface FoundCheckpoint {
  /** Of its file. */
  readonly name: string;
  readonly checkpoint: DecodedCheckpoint;
  /** Newer ones that are damaged, newest first. */
  readonly skipped: readonly SkippedCheckpoint[];
}

export interface SkippedCheckpoint {
  readonly name: string;
  readonly error: OptimError;
}

/**
 * The checkpoints of one run, `checkpoint-000001.safetensors` and on: every save has a higher number than all before it, also after a
 * run went back to an older one. One object at a time, in one process, writes to a place. `openCheckpoints` of `/node` and of `/browser` make it.
 */
export class Checkpoints {
  readonly #storage: CheckpointStorage;
  readonly #keep: number;
  #saving: Promise<unknown> = Promise.resolve();

  /** @throws OptimError `invalid-option` */
  constructor(storage: CheckpointStorage, { keep = 3 }: CheckpointsOptions = {}) {
    if (!(keep >= 1 && (Number.isInteger(keep) || keep === Number.POSITIVE_INFINITY))) {
      refuse("invalid-option", "openCheckpoints: keep", "an integer of at least 1", keep);
    }
    this.#storage = storage;
    this.#keep = keep;
  }

  /** Names of the files, newest first. */
  async list(): Promise<readonly string[]> {
    const names = await this.#storage.list();
    return names
      .filter((name) => numberOf(name) !== undefined)
      .sort((a, b) => Number(numberOf(b)) - Number(numberOf(a)));
  }

  /**
   * Saves one more, and then removes those that are more than `keep`. Training may go on meanwhile; only the tensors of the checkpoint
   * itself must be left alone. Saves of the same object are done one after the other.
   *
   * @returns the name of its file
   * @throws OptimError what `encodeCheckpoint` throws; `storage-error`, and then those before it are as they were
   */
  async save(checkpoint: Checkpoint, options: ProgressOptions = {}): Promise<string> {
    const file = encodeCheckpoint(checkpoint);
    const saving = this.#saving.then(() => this.#save(file, options));
    this.#saving = saving.catch(() => undefined);
    return saving;
  }

  async #save(file: SafetensorsFile, options: ProgressOptions): Promise<string> {
    const [newest] = await this.list();
    const name = nameOf(newest === undefined ? 1 : Number(numberOf(newest)) + 1);
    await this.#storage.write(name, file, options);
    for (const old of (await this.list()).slice(this.#keep)) await this.#storage.remove(old);
    return name;
  }

  /**
   * The newest one that is good: whole, and its bytes those that were written. `undefined` where there is none yet.
   *
   * @throws OptimError `invalid-state` where there are some and none is good; `storage-error` where nothing can be read at all
   */
  async latest(options: ProgressOptions = {}): Promise<FoundCheckpoint | undefined> {
    const skipped: SkippedCheckpoint[] = [];
    for (const name of await this.list()) {
      try {
        return { name, checkpoint: await this.read(name, options), skipped };
      } catch (error) {
        if (!isOptimError(error) || !["invalid-state", "storage-error"].includes(error.code)) throw error;
        skipped.push({ name, error });
      }
    }
    if (skipped[0] === undefined) return undefined;
    throw new OptimError("invalid-state", "latest", {
      expected: "a good checkpoint",
      received: skipped.map(({ name }) => name),
      hint: `None of them is. The newest: ${skipped[0].error.message}`,
      cause: skipped[0].error,
    });
  }

  /** Reads one by the name of its file. @throws OptimError `invalid-state`, `storage-error` */
  read(name: string, options: ProgressOptions = {}): Promise<DecodedCheckpoint> {
    return this.#storage.read(name, (source) => decodeCheckpoint(source, options));
  }
}

const nameOf = (number: number): string => `checkpoint-${String(number).padStart(6, "0")}.safetensors`;

/** What a file of that name is the checkpoint number of, if it is one. */
function numberOf(name: string): number | undefined {
  const digits = /^checkpoint-(\d{6,15})\.safetensors$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
