import { type CheckpointStorage, Checkpoints, checkpointStore } from "@mm/optim-checkpoint";
import type { RunStore, SavedRun } from "@mm/optim-train";

/** The newest checkpoint of a run, in memory, as the file that a person saves. */
export interface Shelf {
  readonly store: RunStore;
  newest(): Promise<Blob>;
}

/** @param file what a person picked */
export function createShelf(file?: Blob): Shelf {
  const files = new Map<string, Blob>(file && [["checkpoint-000001.safetensors", file]]);
  const list = (): Promise<readonly string[]> => Promise.resolve([...files.keys()]);
  const put = (name: string, blob: Blob): Promise<string> => {
    files.set(name, blob);
    return Promise.resolve(name);
  };
  const storage: CheckpointStorage = {
    list,
    create: async (written, nameAfter) => put(nameAfter(await list()), written.blob()),
    replace: async (name, written) => void (await put(name, written.blob())),
    read: (name, use) => {
      const blob = files.get(name) as Blob;
      const read = async (begin: number, end: number): Promise<Uint8Array> =>
        new Uint8Array(await blob.slice(begin, end).arrayBuffer());
      return use({ size: blob.size, read });
    },
    remove: (name) => Promise.resolve(void files.delete(name)),
  };
  const checkpoints = new Checkpoints(storage, { keep: 1 });
  return {
    store: checkpointStore<SavedRun>(checkpoints),
    async newest() {
      const [name] = await checkpoints.list();
      return files.get(name as string) as Blob;
    },
  };
}
