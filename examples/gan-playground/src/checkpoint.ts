import { decodeCheckpoint, encodeCheckpoint } from "@mm/optim-checkpoint";
import type { OptimWrapperDictStateDict } from "@mm/optim-dict";
import { type Controls, controlsOf } from "./controls.ts";

const networks = ["generator", "discriminator"] as const;
type Network = (typeof networks)[number];

/** A model between two iterations, as plain data. */
export type Checkpoint = Readonly<Record<Network, Readonly<Record<string, Float32Array>>>> & {
  readonly iteration: number;
  readonly controls: Controls;
  readonly random: readonly number[];
  /** Absent where the optimizers were tfjs's own. */
  readonly optim?: OptimWrapperDictStateDict;
};

/** A safetensors file: the weights as `"generator.layer1.kernel"`, the optimizers as their state dict names things. */
export function writeCheckpoint(checkpoint: Checkpoint): Blob {
  const { iteration, controls, random, optim } = checkpoint;
  const tensors = Object.fromEntries(
    networks.flatMap((network) =>
      Object.entries(checkpoint[network]).map(([name, data]) => [`${network}.${name}`, data]),
    ),
  );
  return encodeCheckpoint({ optim, tensors, extra: { iteration, controls, random } }).blob();
}

/** Throws for what is no checkpoint of this page. Whether the optimizers fit is seen when they are loaded. */
export async function readCheckpoint(file: Blob): Promise<Checkpoint> {
  const { optim, tensors, extra } = await decodeCheckpoint(file);
  const { iteration, controls, random } = Object(extra) as Partial<Record<keyof Checkpoint, unknown>>;
  const known = controlsOf(controls);
  if (known === undefined || !isCount(iteration) || !Array.isArray(random) || !random.every(isNumber)) {
    throw new Error("This checkpoint is not one of this page.");
  }
  const weights = { generator: {}, discriminator: {} } as Record<Network, Record<string, Float32Array>>;
  for (const [key, { data }] of Object.entries(tensors)) {
    const [network, name] = splitAt(key, key.indexOf("."));
    const of = (weights as Partial<Record<string, Record<string, Float32Array>>>)[network];
    if (of === undefined || !(data instanceof Float32Array))
      throw new Error(`${key} is no weight of this page.`);
    of[name] = data;
  }
  return {
    ...weights,
    iteration,
    controls: known,
    random,
    ...(optim && { optim: optim as OptimWrapperDictStateDict }),
  };
}

const splitAt = (text: string, place: number): readonly [string, string] => [
  text.slice(0, place),
  text.slice(place + 1),
];

const isNumber = (value: unknown): value is number => typeof value === "number";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
