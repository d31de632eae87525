import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { CheckpointStorage } from "../checkpoints.ts";
import { piecesOf, type SafetensorsFile } from "../encode.ts";
import { counter, type ProgressOptions } from "../progress.ts";
import { sourceOf } from "../source.ts";

/** A folder of the origin private file system, or one that a person picked. */
export function directoryStorage(directory: FileSystemDirectoryHandle): CheckpointStorage {
  return {
    async list() {
      return attempt(`reading ${directory.name}`, async () => {
        const names: string[] = [];
        for await (const [name, handle] of directory.entries()) {
          // A write that was cut off before it had anything leaves an empty file.
          if (handle.kind === "file" && (await handle.getFile()).size > 0) names.push(name);
        }
        return names;
      });
    },
    async write(name, file, options) {
      const handle = await attempt(`writing ${name}`, () => directory.getFileHandle(name, { create: true }));
      try {
        await writeHandle(handle, file, options);
      } catch (error) {
        await directory.removeEntry(name).catch(() => undefined);
        throw error;
      }
    },
    async read(name, use) {
      const file = await attempt(`reading ${name}`, async () =>
        (await directory.getFileHandle(name)).getFile(),
      );
      const source = await sourceOf(file, "read");
      return use({
        ...source,
        read: (begin, end, onBytes) => attempt(`reading ${name}`, () => source.read(begin, end, onBytes)),
      });
    },
    remove: (name) => attempt(`removing ${name}`, () => directory.removeEntry(name)),
  };
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

/** What the browser refuses, in words. */
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
