import { Checkpoints, type CheckpointsOptions } from "../checkpoints.ts";
import { directoryStorage } from "./directory.ts";

export { writeHandle } from "./directory.ts";
export { download, upload } from "./transfer.ts";

/**
 * The checkpoints of a folder: of the origin private file system, which no permission is needed for
 * (`await navigator.storage.getDirectory()`), or of one that a person picked (`await showDirectoryPicker({ mode: "readwrite" })`).
 *
 * @throws OptimError `invalid-option`
 */
export function openCheckpoints(
  directory: FileSystemDirectoryHandle,
  options: CheckpointsOptions = {},
): Checkpoints {
  return new Checkpoints(directoryStorage(directory), options);
}
