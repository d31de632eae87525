import type { SafetensorsFile } from "./encode.ts";
import type { ProgressOptions } from "./progress.ts";
import type { ByteSource } from "./source.ts";

/**
 * Where checkpoints are kept: a folder, on disk or in the browser. A file is there whole or not at all, whatever happens while it is written.
 */
export interface CheckpointStorage {
  /** Names of the files that are there; none where the place does not exist yet. Anything but a file (a folder, a pipe) is left out. */
  list(): Promise<readonly string[]>;
  /**
   * Writes a file under a name that nothing has, and resolves to it when the file would survive the loss of power. Never overwrites: two
   * processes that write at once get two names.
   *
   * @param nameAfter a name that is none of these: call it with the names of all that is there, files or not, as late as possible, and again
   * where something else took the name meanwhile
   * @throws OptimError `storage-error`
   */
  create(
    file: SafetensorsFile,
    nameAfter: (taken: readonly string[]) => string,
    options: ProgressOptions,
  ): Promise<string>;
  /**
   * Writes a file in the place of the one of that name, if there is one, and resolves when it would survive the loss of power.
   *
   * @throws OptimError `storage-error`, and then what was there is as it was
   */
  replace(name: string, file: SafetensorsFile, options: ProgressOptions): Promise<void>;
  /** Opens a file for the time of `use`. @throws OptimError `storage-error` */
  read<T>(name: string, use: (source: ByteSource) => Promise<T>): Promise<T>;
  /** Removes a file. One that is gone already is no error. @throws OptimError `storage-error` */
  remove(name: string): Promise<void>;
  /**
   * A text that is another one once the file was changed (its size and time, say), `undefined` where there is no such file. Without this
   * function a file that was found whole is taken to stay so.
   */
  stamp?(name: string): Promise<string | undefined>;
}
