import type { OptimWrapperStateDict } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { elementsOf, tensorOf } from "../transfer.ts";

/** A tensor as tfjs saves it, under a name that no weight of the model has. */
export interface NamedWeight {
  name: string;
  tensor: tf.Tensor;
}

/** The state of a `TfOptimizer`. */
export interface FitState {
  readonly state: OptimWrapperStateDict;
  /** Names of the variables of each group that joined after the wrapper was made. */
  readonly joined: readonly (readonly string[])[];
}

const stateName = "optim-wrapper";

/** A state as named tensors: its float32 arrays, and last a string of the rest, in JSON. The tensors are the caller's. */
export function weightsOf({ state, joined }: FitState): NamedWeight[] {
  const weights: NamedWeight[] = [];
  const rest = JSON.stringify({ ...state, joined }, (key, value: unknown) => {
    if (value instanceof Float32Array) {
      const name = `${stateName}/${weights.length}/${key}`;
      weights.push({ name, tensor: tensorOf(value, [value.length]) });
      return { $tensor: name };
    }
    // JSON has no numbers for these.
    if (typeof value !== "number" || (Number.isFinite(value) && !Object.is(value, -0))) return value;
    return { $number: Object.is(value, -0) ? "-0" : String(value) };
  });
  return [...weights, { name: stateName, tensor: tf.tensor1d([rest], "string") }];
}

/**
 * The state that {@link weightsOf} made tensors of, as of the call. Waits for the device.
 *
 * @throws OptimError `invalid-state`
 */
export async function stateOf(weights: readonly NamedWeight[]): Promise<FitState> {
  const reading = weights.map(
    async ({ name, tensor }) => [name, (await elementsOf<keyof tf.DataTypeMap>(tensor)).slice()] as const,
  );
  const found = new Map<string, unknown>(await Promise.all(reading));
  const [rest] = (found.get(stateName) ?? []) as readonly unknown[];
  try {
    const { joined = [], ...state } = JSON.parse(rest as string, (_, value: unknown) => {
      const { $tensor, $number } = Object(value) as { readonly $tensor?: string; readonly $number?: string };
      if ($tensor !== undefined) return found.get($tensor);
      return $number === undefined ? value : Number($number);
    }) as Partial<OptimWrapperStateDict> & Partial<Pick<FitState, "joined">>;
    if (state.format === "optim-wrapper") return { state: state as OptimWrapperStateDict, joined };
  } catch (cause) {
    return refuseWeights(weights, { cause });
  }
  return refuseWeights(weights);
}

function refuseWeights(weights: readonly NamedWeight[], details: { readonly cause?: unknown } = {}): never {
  const names = weights.map(({ name }) => name);
  return refuse(
    "invalid-state",
    "setWeights",
    "what getWeights() of an optimizer of toTfOptimizer gave",
    names,
    {
      hint: "Weights of tf.train optimizers belong to these",
      ...details,
    },
  );
}
