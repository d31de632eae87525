import { constants, type Dirent } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { piecesOf, type SafetensorsFile } from "../encode.ts";
import { counter, type ProgressOptions } from "../progress.ts";
import type { ByteSource } from "../source.ts";
import { unfinishedName } from "./unfinished-name.ts";

/**
 * Writes a file whole or not at all: under a temporary name in the same folder, flushed to the disk, renamed, the folder flushed too.
 * Whatever was there under its name stays until then. Tensors are written from their own memory.
 *
 * @throws OptimError `storage-error`; nothing was replaced then, and nothing is left behind
 */
export async function writeFile(
  path: string,
  file: SafetensorsFile,
  options: ProgressOptions = {},
): Promise<void> {
  await publish(dirname(path), file, options, (unfinished) => rename(unfinished, path), path);
}

/**
 * Writes a file under a temporary name, has `name` give it its own when it is on the disk, and flushes the folder.
 *
 * @returns the result of `name`
 * @throws OptimError `storage-error`; nothing is left behind then
 */
export async function publish<T>(
  folder: string,
  file: SafetensorsFile,
  options: ProgressOptions,
  name: (unfinished: string) => Promise<T>,
  path: string = folder,
): Promise<T> {
  const unfinished = join(folder, unfinishedName());
  try {
    const handle = await open(unfinished, "wx");
    try {
      await writeAll(handle, file, options);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const named = await name(unfinished);
    await syncFolder(folder);
    return named;
  } catch (error) {
    await unlink(unfinished).catch(() => undefined);
    throw storageError(`writing ${path}`, error);
  }
}

async function writeAll(handle: FileHandle, file: SafetensorsFile, options: ProgressOptions): Promise<void> {
  const onBytes = counter(file.size, options);
  for (const piece of piecesOf(file, 2 ** 23)) {
    let at = 0;
    while (at < piece.length) at += (await handle.write(piece, at)).bytesWritten;
    onBytes?.(piece.length);
  }
}

/** A name is only kept when its folder is. Windows has no such call, and keeps it by itself. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Opens a file as a source of bytes for the time of `use`. Anything but a file is not waited for.
 *
 * @throws OptimError `storage-error` where it cannot be opened or read
 */
export async function withFile<T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> {
  const reading = <R>(run: () => Promise<R>): Promise<R> => attempt(`reading ${path}`, run);
  const handle = await reading(() => open(path, readingFlags()));
  try {
    const found = await reading(() => handle.stat());
    if (!found.isFile()) {
      refuse(
        "storage-error",
        `reading ${path}`,
        "a file",
        found.isDirectory() ? "a folder" : "a pipe or device",
      );
    }
    return await use({
      size: found.size,
      read: (begin, end, onBytes) => reading(() => readRange(handle, begin, end, onBytes)),
    });
  } finally {
    await handle.close();
  }
}

/** With O_NONBLOCK, which Windows does not have: a pipe that nobody writes to would be waited for, for ever. */
function readingFlags(): number {
  const { O_RDONLY, O_NONBLOCK = 0 } = constants as {
    readonly O_RDONLY: number;
    readonly O_NONBLOCK?: number;
  };
  return O_RDONLY | O_NONBLOCK;
}

/** Shorter than asked where the file ends before, because something cut it meanwhile. */
async function readRange(
  handle: FileHandle,
  begin: number,
  end: number,
  onBytes: ((count: number) => void) | undefined,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
  let at = 0;
  while (at < bytes.length) {
    const length = Math.min(bytes.length - at, 2 ** 23);
    const { bytesRead } = await handle.read(bytes, at, length, begin + at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
    onBytes?.(bytesRead);
  }
  return bytes;
}

/** Makes a folder with those above it. @throws OptimError `storage-error` */
export async function makeFolder(folder: string): Promise<void> {
  await attempt(`making the folder ${folder}`, () => mkdir(folder, { recursive: true }));
}

/** Names of all that is in a folder; none where there is no such folder. @throws OptimError `storage-error` */
export async function namesIn(folder: string): Promise<readonly string[]> {
  return (await entriesIn(folder)).map(({ name }) => name);
}

/** Names of the files in a folder, and of links to files. @throws OptimError `storage-error` */
export async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await entriesIn(folder);
  const names = await Promise.all(
    entries.map(async (entry) => {
      const { name } = entry;
      const isFile = entry.isFile() || (entry.isSymbolicLink() && (await leadsToFile(join(folder, name))));
      return isFile ? [name] : [];
    }),
  );
  return names.flat();
}

async function entriesIn(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw storageError(`reading ${folder}`, error);
  }
}

const leadsToFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );

/** Removes a file; one that is gone already is no error. @throws OptimError `storage-error` */
export async function removeFile(path: string): Promise<void> {
  await attempt(`removing ${path}`, () =>
    unlink(path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }),
  );
}

export async function attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storageError(what, error);
  }
}

/** The refusal of the system, in words. Anything else is passed on as it is. */
function storageError(what: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new OptimError("storage-error", what, {
    expected: expectations[code] ?? "no error of the system",
    received: code,
    hint: "Earlier files are as they were, and training can go on",
    cause: error,
  });
}

const expectations: { readonly [code: string]: string | undefined } = {
  ENOSPC: "room on the disk",
  EDQUOT: "room within the quota",
  EFBIG: "a file that is not larger than the limit",
  EROFS: "a disk that is not read-only",
  EACCES: "the right to do so",
  EPERM: "the right to do so",
  ENOENT: "a file or folder that is there",
  ENOTDIR: "a folder",
  EISDIR: "a file",
  EEXIST: "a name that nothing has",
  ENAMETOOLONG: "a shorter name",
  EIO: "a disk that works",
};
