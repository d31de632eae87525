import { link, open, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { CheckpointStorage } from "../checkpoint-storage.ts";
import { attempt, filesIn, makeFolder, namesIn, publish, removeFile, withFile, writeFile } from "./files.ts";
import { removeUnfinished } from "./unfinished.ts";

/** A folder on a disk. */
export function folderStorage(folder: string): CheckpointStorage {
  let made = false;
  const prepare = async (): Promise<void> => {
    if (!made) await makeFolder(folder);
    made = true;
    await removeUnfinished(folder);
  };
  return {
    list: () => filesIn(folder),
    async replace(name, file, options) {
      await prepare();
      await writeFile(join(folder, name), file, options);
    },
    async create(file, nameAfter, options) {
      await prepare();
      return publish(folder, file, options, (unfinished) => nameAnew(folder, unfinished, nameAfter));
    },
    read: (name, use) => withFile(join(folder, name), use),
    remove: (name) => removeFile(join(folder, name)),
    stamp: (name) => stampOf(join(folder, name)),
  };
}

/** Gives a written file a name that nothing has, however many processes do so at once. */
async function nameAnew(
  folder: string,
  unfinished: string,
  nameAfter: (taken: readonly string[]) => string,
): Promise<string> {
  let before: string | undefined;
  for (;;) {
    const name = nameAfter(await namesIn(folder));
    try {
      await renameAnew(unfinished, join(folder, name));
      return name;
    } catch (error) {
      // The same name a second time: whatever has it is not listed, and will not go away.
      if (codeOf(error) !== "EEXIST" || name === before) throw error;
      before = name;
    }
  }
}

/** Renames a file, unless something has that name already. `rename` itself would overwrite it. */
async function renameAnew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (codeOf(error) === "EEXIST") throw error;
    // FAT and some network disks have no links. There an empty file takes the name first: a process killed now leaves it, which is passed
    // over as damaged. Where the disk refused for another reason, it refuses this too.
    await (await open(to, "wx")).close();
    await rename(from, to).catch(async (cause: unknown) => {
      await unlink(to).catch(() => undefined);
      throw cause;
    });
    return;
  }
  // The file has two names now. If the first stays, the next save removes it.
  await unlink(from).catch(() => undefined);
}

/** Which file it is, its size and its times, to the nanosecond. */
async function stampOf(path: string): Promise<string | undefined> {
  const found = await attempt(`reading ${path}`, () =>
    stat(path, { bigint: true }).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }),
  );
  return found && [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(" ");
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
