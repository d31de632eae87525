import { stat } from "node:fs/promises";
import { join } from "node:path";
import { namesIn, removeFile } from "./files.ts";
import { host } from "./unfinished-name.ts";

/** Removes the files that saves which were killed have left in a folder, as far as it may. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const [, writer, pid] = /^\.optim-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.unfinished$/.exec(name) ?? [];
    if (writer === undefined) continue;
    const path = join(folder, name);
    // It only takes room: that it cannot be removed is no reason not to save.
    if (await isLeft(path, writer, Number(pid))) await removeFile(path).catch(() => undefined);
  }
}

/** Every few megabytes that are written change the time of a file. */
const longestPause = 15 * 60_000;

async function isLeft(path: string, writer: string, pid: number): Promise<boolean> {
  const modified = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
  if (modified === undefined) return false;
  const now = Date.now();
  if (now - modified > longestPause) return true;
  if (writer !== host()) return false;
  // In containers the process that was killed often had the same number as the one that came after it.
  if (pid === process.pid) return modified < now - process.uptime() * 1000;
  return !isRunning(pid);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It runs, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
