import type { LoadReport } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { Checkpoints, SkippedCheckpoint } from "./checkpoints.ts";
import { fileNamed } from "./file-names.ts";
import type { FileTensor, TensorInput } from "./tensor.ts";
import {
  type OptimWrappers,
  restoreCheckpoint,
  type RestoreCheckpointOptions,
  takeCheckpoint,
} from "./wrappers.ts";

/** Where a training loop keeps itself: its optimizers, and whatever else it needs to go on, `R`. */
export interface CheckpointStore<R> {
  /**
   * A copy as of the call. Waits for the device.
   *
   * @param run plain data, in which there may be typed arrays
   * @returns what writes it while training goes on: as the newest, or under a name of its own. It resolves to the name of the file
   * @throws OptimError errors of `takeCheckpoint`
   */
  take(optim: OptimWrappers, run: R): Promise<(name?: string) => Promise<string>>;
  /**
   * The newest that is good, or the one of that name (`"best"` or the name of its file). `undefined` where there is none yet.
   *
   * @throws OptimError errors of `latest()` and `read()`
   */
  find(name?: string): Promise<FoundRun<R> | undefined>;
}

export interface FoundRun<R> {
  /** Of its file. */
  readonly name: string;
  /** Newer ones that are damaged, newest first. */
  readonly skipped: readonly SkippedCheckpoint[];
  /** As it was saved: fields that were `undefined` are gone, and a Buffer is a Uint8Array. It came from a file: check what you need of it. */
  readonly run: R;
  /** Loads optimizers and parameters, all or nothing. @throws OptimError errors of `restoreCheckpoint` */
  restore(optim: OptimWrappers, options?: RestoreCheckpointOptions): Promise<LoadReport>;
}

/** Keeps a run among the checkpoints of a folder. A typed array in its data becomes a tensor of the file: `"run.frames.0.images"`. */
export function checkpointStore<R = unknown>(checkpoints: Checkpoints): CheckpointStore<R> {
  return {
    async take(optim, run) {
      const tensors: Record<string, TensorInput> = Object.create(null) as Record<string, TensorInput>;
      const extra = withoutTensors(run, "run", tensors);
      const checkpoint = await takeCheckpoint(optim, { extra, tensors });
      return (name) => checkpoints.save(checkpoint, name === undefined ? {} : { as: name });
    },
    async find(name) {
      const found = await (name === undefined ? checkpoints.latest() : named(checkpoints, name));
      if (found === undefined) return undefined;
      const { checkpoint } = found;
      return {
        name: found.name,
        skipped: found.skipped,
        run: withTensors(checkpoint.extra, checkpoint.tensors) as R,
        restore: (optim, options) => restoreCheckpoint(optim, checkpoint, options),
      };
    },
  };
}

async function named(checkpoints: Checkpoints, name: string) {
  const file = /^checkpoint-\d+\.safetensors$/.test(name) ? name : fileNamed(name, "checkpointStore.find");
  return { name: file, checkpoint: await checkpoints.read(file), skipped: [] };
}

/** The key of the record that stands for a tensor. A key of the data that begins with `$` is written with one more. */
const tensorKey = "$tensor";

/** A copy of plain data, whose typed arrays are put among the tensors. */
function withoutTensors(value: unknown, path: string, tensors: Record<string, TensorInput>): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) {
    tensors[path] = copyOf(value) as TensorInput;
    return { [tensorKey]: path };
  }
  if (Array.isArray(value))
    return value.map((item, index) => withoutTensors(item, `${path}.${index}`, tensors));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.startsWith("$") ? `$${key}` : key,
      withoutTensors(inner, `${path}.${escaped(key)}`, tensors),
    ]),
  );
}

function withTensors(value: unknown, tensors: { readonly [path: string]: FileTensor }): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withTensors(item, tensors));
  const entries = Object.entries(value);
  const [only] = entries;
  if (entries.length === 1 && only?.[0] === tensorKey) {
    const path = String(only[1]);
    return (tensors[path] ?? refuse("invalid-state", "checkpointStore", "its tensor", path)).data;
  }
  return Object.fromEntries(
    entries.map(([key, inner]) => [key.startsWith("$$") ? key.slice(1) : key, withTensors(inner, tensors)]),
  );
}

/** Anything else is no plain data, and refused where it is written. */
function isRecord(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Within a key a dot would look like a step to the next. */
const escaped = (key: string): string => key.replaceAll("%", "%25").replaceAll(".", "%2E");

/** The elements, in memory of their own. A Buffer's own `slice` copies nothing; a DataView has none, and is refused where it is written. */
function copyOf(view: ArrayBufferView): unknown {
  if (view instanceof DataView) return view;
  const { slice } = Object.getPrototypeOf(Int8Array.prototype) as { readonly slice: () => unknown };
  return slice.call(view);
}
