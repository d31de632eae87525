import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { OptimError } from "@mm/optim-core";
import { piecesOf, type SafetensorsFile } from "../encode.ts";
import { counter, type ProgressOptions } from "../progress.ts";
import type { ByteSource } from "../source.ts";

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
  const folder = dirname(path);
  const unfinished = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}${unfinishedEnding}`);
  try {
    const handle = await open(unfinished, "wx");
    try {
      await writeAll(handle, file, options);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, path);
    await syncFolder(folder);
  } catch (error) {
    await unlink(unfinished).catch(() => undefined);
    throw storageError(`writing ${path}`, error);
  }
}

const unfinishedEnding = ".unfinished";

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
 * Opens a file as a source of bytes for the time of `use`.
 *
 * @throws OptimError `storage-error` where it cannot be opened or read
 */
export async function withFile<T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> {
  const handle = await attempt(`reading ${path}`, () => open(path, "r"));
  try {
    const { size } = await attempt(`reading ${path}`, () => handle.stat());
    return await use({
      size,
      read: (begin, end, onBytes) => attempt(`reading ${path}`, () => readRange(handle, begin, end, onBytes)),
    });
  } finally {
    await handle.close();
  }
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

/** Names in a folder; none where there is no such folder. @throws OptimError `storage-error` */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw storageError(`reading ${folder}`, error);
  }
}

/** @throws OptimError `storage-error` */
export async function removeFile(path: string): Promise<void> {
  await attempt(`removing ${path}`, () => unlink(path));
}

/** Removes what saves that were killed have left. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (/^\.checkpoint-\d+\.safetensors\.[0-9a-f]{12}\.unfinished$/.test(name))
      await removeFile(join(folder, name));
  }
}

async function attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storageError(what, error);
  }
}

/** What the system refused, in words. Anything else is passed on as it is. */
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
  EIO: "a disk that works",
};
