import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { CheckpointStorage } from "../checkpoint-storage.ts";
import { piecesOf, type SafetensorsFile } from "../encode.ts";
import { counter, type ProgressOptions } from "../progress.ts";
import { sourceOf } from "../source.ts";

/** A folder of the origin private file system, or one that a person picked. */
export function directoryStorage(directory: FileSystemDirectoryHandle): CheckpointStorage {
  const fileOf = (name: string): Promise<File> =>
    attempt(`reading ${name}`, async () => (await directory.getFileHandle(name)).getFile());
  return {
    list: () => attempt(`reading ${directory.name}`, () => filesIn(directory)),
    create: (file, nameAfter, options) =>
      alone(directory.name, async () => {
        const taken = await attempt(`reading ${directory.name}`, () => takenIn(directory));
        const name = nameAfter(taken);
        await writeNew(directory, name, file, options);
        return name;
      }),
    replace: (name, file, options) => alone(directory.name, () => writeNamed(directory, name, file, options)),
    async read(name, use) {
      const source = await sourceOf(await fileOf(name), "read");
      return use({
        ...source,
        read: (begin, end, onBytes) => attempt(`reading ${name}`, () => source.read(begin, end, onBytes)),
      });
    },
    remove: (name) => attempt(`removing ${name}`, () => directory.removeEntry(name).catch(unlessMissing)),
    async stamp(name) {
      const file = await attempt(`reading ${name}`, async () =>
        (await directory.getFileHandle(name).catch(unlessMissing))?.getFile(),
      );
      return file && `${file.size} ${file.lastModified}`;
    },
  };
}

/** Runs when no other page or worker of the origin writes to a folder of that name: the File System API has no way to take a name. */
function alone<T>(name: string, run: () => Promise<T>): Promise<T> {
  return navigator.locks.request(`@mm/optim-checkpoint: ${name}`, run) as Promise<T>;
}

/** Names of the files that have something in them: a write that was cut off before it had anything leaves an empty file. */
async function filesIn(directory: FileSystemDirectoryHandle): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const [name, handle] of directory.entries()) {
    if (handle.kind === "file" && (await handle.getFile()).size > 0) names.push(name);
  }
  return names;
}

/** Names that cannot be given to a new file. */
async function takenIn(directory: FileSystemDirectoryHandle): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const [name, handle] of directory.entries()) {
    if (handle.kind === "directory" || (await handle.getFile()).size > 0) names.push(name);
  }
  return names;
}

async function writeNew(
  directory: FileSystemDirectoryHandle,
  name: string,
  file: SafetensorsFile,
  options: ProgressOptions,
): Promise<void> {
  const handle = await attempt(`writing ${name}`, () => directory.getFileHandle(name, { create: true }));
  try {
    await writeHandle(handle, file, options);
  } catch (error) {
    await directory.removeEntry(name).catch(() => undefined);
    throw error;
  }
}

/** The old file stays until the new one is whole. Where there was none, a write that fails leaves none. */
async function writeNamed(
  directory: FileSystemDirectoryHandle,
  name: string,
  file: SafetensorsFile,
  options: ProgressOptions,
): Promise<void> {
  const known = await attempt(`writing ${name}`, () => directory.getFileHandle(name).catch(unlessMissing));
  if (known === undefined) await writeNew(directory, name, file, options);
  else await writeHandle(known, file, options);
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof DOMException && error.name === "NotFoundError")) throw error;
  return undefined;
}

/**
 * Writes a file of the File System API: the browser puts it together aside, and swaps it in when it is whole.
 *
 * @throws OptimError `storage-error`, and what was there before is as it was; `unsupported` where the browser cannot write so
 */
export async function writeHandle(
  handle: FileSystemFileHandle,
  file: SafetensorsFile,
  options: ProgressOptions = {},
): Promise<void> {
  const what = `writing ${handle.name}`;
  if (!("createWritable" in handle)) {
    throw new OptimError("unsupported", what, {
      expected: "a browser with FileSystemFileHandle.createWritable",
      hint: "Download the checkpoint instead",
    });
  }
  const writable = await attempt(what, () => handle.createWritable());
  try {
    const onBytes = counter(file.size, options);
    for (const piece of piecesOf(file, 2 ** 23)) {
      await attempt(what, () => writable.write(piece));
      onBytes?.(piece.length);
    }
  } catch (error) {
    await writable.abort().catch(() => undefined);
    throw error;
  }
  await attempt(what, () => writable.close());
}

/** The refusal of the browser, in words. */
async function attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (!(cause instanceof DOMException)) throw cause;
    return refuse("storage-error", what, expectations[cause.name] ?? "no error of the browser", cause.name, {
      hint: "Earlier files are as they were, and training can go on",
      cause,
    });
  }
}

const expectations: { readonly [name: string]: string | undefined } = {
  QuotaExceededError: "room within the quota of this origin",
  NotAllowedError: "the permission to do so",
  NotFoundError: "a file or folder that is there",
  NoModificationAllowedError: "a file that nobody else is writing",
};
