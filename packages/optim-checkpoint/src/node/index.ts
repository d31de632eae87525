import { dirname } from "node:path";
import {
  type Checkpoint,
  decodeCheckpoint,
  type DecodedCheckpoint,
  encodeCheckpoint,
} from "../checkpoint.ts";
import { Checkpoints, type CheckpointsOptions } from "../checkpoints.ts";
import type { ProgressOptions } from "../progress.ts";
import { makeFolder, withFile, writeFile } from "./files.ts";
import { folderStorage } from "./folder.ts";

export { withFile, writeFile } from "./files.ts";

/**
 * The checkpoints of a folder. It is made at the first save; where it disappears afterwards, saves are refused, since what stands in its
 * place may be the mount point of a disk that is gone.
 *
 * @throws OptimError `invalid-option`
 */
export function openCheckpoints(folder: string, options: CheckpointsOptions = {}): Checkpoints {
  return new Checkpoints(folderStorage(folder), options);
}

/** Writes a checkpoint to one file, whole or not at all. @throws OptimError as `encodeCheckpoint`, `storage-error` */
export async function writeCheckpoint(
  path: string,
  checkpoint: Checkpoint,
  options: ProgressOptions = {},
): Promise<void> {
  await makeFolder(dirname(path));
  await writeFile(path, encodeCheckpoint(checkpoint), options);
}

/** Reads a checkpoint from a file. @throws OptimError `invalid-state`, `storage-error` */
export function readCheckpoint(path: string, options: ProgressOptions = {}): Promise<DecodedCheckpoint> {
  return withFile(path, (source) => decodeCheckpoint(source, options));
}
