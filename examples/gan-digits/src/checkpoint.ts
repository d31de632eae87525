import { readFile, rename, writeFile } from "node:fs/promises";
import type { SchedulerDictStateDict } from "@mm/optim-schedule";
import { isMissing, UsageError } from "./errors.ts";
import type { Metrics } from "./metrics.ts";
import type { Settings } from "./settings.ts";
import type { Frame, GanOptim } from "./gan.ts";

/**
 * Everything that the next iteration depends on, and what the figures show.
 *
 * A temporary format, JSON with base64 for tensors: enough to go on on the same machine, and nothing to build on.
 */
export interface Checkpoint {
  readonly format: "gan-digits-checkpoint (temporary)";
  readonly version: 1;
  readonly settings: Settings;
  readonly iteration: number;
  readonly seconds: number;
  readonly random: readonly number[];
  readonly generator: WeightValues;
  readonly discriminator: WeightValues;
  readonly average: WeightValues;
  readonly optim: Awaited<ReturnType<GanOptim["stateDict"]>>;
  readonly schedulers: SchedulerDictStateDict;
  readonly history: readonly Metrics[];
  readonly frames: readonly Frame[];
}

type WeightValues = Readonly<Record<string, Float32Array>>;

/** Whatever happens meanwhile, `file` is a whole checkpoint: the old one or the new. */
export async function writeCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  const unfinished = `${file}.unfinished`;
  await writeFile(unfinished, JSON.stringify(checkpoint, packTensor));
  await rename(unfinished, file);
}

/** @throws UsageError where there is none, or something else */
export async function readCheckpoint(file: string): Promise<Checkpoint> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"), unpackTensor);
  } catch (error) {
    if (isMissing(error)) throw new UsageError(`no checkpoint at ${file}`, { cause: error });
    throw new UsageError(`${file} is damaged or no checkpoint: ${String(error)}`, { cause: error });
  }
  const { format, version } = (value ?? {}) as Partial<Checkpoint>;
  if (format !== "gan-digits-checkpoint (temporary)" || version !== 1) {
    throw new UsageError(`${file} is no checkpoint of this program, or of another version`);
  }
  return value as Checkpoint;
}

function packTensor(_key: string, value: unknown): unknown {
  if (!(value instanceof Float32Array)) return value;
  return { float32: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
}

function unpackTensor(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("float32" in value)) return value;
  return new Float32Array(Uint8Array.from(Buffer.from(String(value.float32), "base64")).buffer);
}
