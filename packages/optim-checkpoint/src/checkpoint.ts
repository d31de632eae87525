import { refuse } from "@mm/optim-core/backend";
import { encodeSafetensors, type SafetensorsFile } from "./encode.ts";
import { decodeSafetensors, type SafetensorsContent, verifySafetensors } from "./decode.ts";
import { fromJson, toJson } from "./json.ts";
import { joinKey, splitKey } from "./keys.ts";
import type { ProgressOptions } from "./progress.ts";
import type { ByteInput, ByteSource } from "./source.ts";
import { optim, packState, type SavedState, unpackState } from "./state.ts";
import { type FileTensor, type TensorInput, tensorOf } from "./tensor.ts";

/** The contents of a checkpoint. All of it is optional. */
export interface Checkpoint {
  /** The result of `stateDict()` of a wrapper or of a dict. */
  readonly optim?: SavedState | undefined;
  /** Parameters, buffers, averages: any names but those of half surrogate pairs. Not copied: leave them alone until the file is written. */
  readonly tensors?: { readonly [name: string]: TensorInput } | undefined;
  /** Whatever else the run needs to go on, plain data: counters, the state of schedulers and random numbers, settings, a history. */
  readonly extra?: unknown;
}

/** A checkpoint as it is read. */
export interface DecodedCheckpoint {
  readonly optim?: SavedState;
  /** A record without a prototype, so any name is safe. Each tensor is private, but for a checkpoint that was in memory already. */
  readonly tensors: { readonly [name: string]: FileTensor };
  /** `undefined` where there was none. It came from a file: check what you need of it. */
  readonly extra: unknown;
}

/** The entry of the metadata that makes a safetensors file a checkpoint, with its version. */
const formatName = "optim-checkpoint";

/**
 * How older checkpoints are read: the entry at index i turns the content of version i + 1 into that of version i + 2. The last one leads
 * to the version that is written.
 */
const migrations: readonly ((content: SafetensorsContent) => SafetensorsContent)[] = [];

/**
 * A checkpoint as one safetensors file. The format is described in docs/checkpoints.md, what is not a tensor in
 * `@mm/optim-checkpoint/schema/checkpoint.json`.
 *
 * @throws OptimError `invalid-state` for what is no state dict, `invalid-option` for what is no tensor or no plain data, `invalid-name`,
 * `unsupported` for more than 100 MB of names and plain data
 */
export function encodeCheckpoint(checkpoint: Checkpoint): SafetensorsFile {
  const { optim: state, tensors = {}, extra } = Object(checkpoint) as Checkpoint;
  const packed: (readonly [string, FileTensor])[] = [];
  const plain =
    state !== undefined &&
    packState(state, (names, tensor) =>
      packed.push([joinKey(...names), tensorOf(tensor, `checkpoint: ${names.join(".")}`)]),
    );
  const own = Object.entries(tensors).map(
    ([name, input]) =>
      [joinKey(name), tensorOf(input, `checkpoint: tensors: ${JSON.stringify(name)}`)] as const,
  );
  return encodeSafetensors([...own, ...packed], {
    [formatName]: String(migrations.length + 1),
    ...(state !== undefined && { [optim]: toJson(plain, optim) }),
    ...(extra !== undefined && { extra: toJson(extra, "extra") }),
  });
}

/**
 * Reads a checkpoint. The optimizers' part is as plain as the result of `stateDict()`, and is checked to the end where it is
 * loaded.
 *
 * @throws OptimError `invalid-state` for what is no checkpoint, truncated, damaged, or of a later version; `storage-error` where reading
 * fails
 */
export async function decodeCheckpoint(
  input: ByteInput,
  options: ProgressOptions = {},
): Promise<DecodedCheckpoint> {
  const { tensors, metadata } = migrated(await decodeSafetensors(input, options));
  const left = new Map(tensors);
  const state = metadata.get(optim);
  const extra = metadata.get("extra");
  const unpacked =
    state === undefined
      ? undefined
      : unpackState(fromJson(state, optim), (names, shape) => take(left, names, shape));
  const own = Object.create(null) as Record<string, FileTensor>;
  for (const [key, tensor] of left) {
    const [name = "", ...more] = splitKey(key);
    if (more.length > 0 || name in own)
      refuse("invalid-state", "checkpoint", "only tensors that belong to it", key);
    own[name] = tensor;
  }
  return {
    ...(unpacked && { optim: unpacked }),
    tensors: own,
    extra: extra === undefined ? undefined : fromJson(extra, "extra"),
  };
}

/** Reads all of a checkpoint, and keeps nothing of it. @throws OptimError `invalid-state`, `storage-error`, as {@link decodeCheckpoint} */
export async function verifyCheckpoint(source: ByteSource): Promise<void> {
  requireVersion(await verifySafetensors(source));
}

function migrated(content: SafetensorsContent): SafetensorsContent {
  const version = requireVersion(content.metadata);
  return migrations.slice(version - 1).reduce((older, migrate) => migrate(older), content);
}

/** The version of the format. @throws OptimError `invalid-state` for one that this release cannot read */
function requireVersion(metadata: SafetensorsContent["metadata"]): number {
  const latest = migrations.length + 1;
  const version = Number(metadata.get(formatName));
  if (Number.isInteger(version) && version >= 1 && version <= latest) return version;
  return refuse(
    "invalid-state",
    "checkpoint",
    `${formatName} of version ${latest} or before among the metadata`,
    metadata.get(formatName),
    {
      hint:
        version > latest ? "A later release wrote it" : "For any other safetensors file: decodeSafetensors",
    },
  );
}

/** Takes out a float32 tensor. */
function take(
  tensors: Map<string, FileTensor>,
  names: readonly string[],
  shape: readonly number[] | undefined,
): Float32Array {
  const key = joinKey(...names);
  const { data, shape: found } = tensors.get(key) ?? refuse("invalid-state", "checkpoint", "its tensor", key);
  if (!(data instanceof Float32Array) || (shape && String(shape) !== String(found))) {
    refuse("invalid-state", `checkpoint: ${key}`, `float32 of shape [${String(shape ?? found)}]`, found);
  }
  tensors.delete(key);
  return data;
}
