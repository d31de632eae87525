import {
  type AnyOptimizer,
  type AnyOptimWrapper,
  type LoadOptions,
  type LoadReport,
  type NamedTensors,
  OptimError,
  type OptimWrapperStateDict,
  type PreparedLoad,
  type StateDictOptions,
} from "@mm/optim-core";
import { lengthOf, namedWrappers, refuse, type WrappersInput } from "@mm/optim-core/backend";
import { OptimWrapperDict } from "@mm/optim-dict";
import type { Checkpoint } from "./checkpoint.ts";
import type { SavedState } from "./state.ts";
import { type TensorInput, tensorOf, toFloat32 } from "./tensor.ts";

/** A wrapper, a dict, or any pairs of name and wrapper. */
export type OptimWrappers = WrappersInput;

export interface TakeCheckpointOptions extends Omit<Checkpoint, "optim">, StateDictOptions {
  /**
   * Whether the parameters of the optimizers are read and saved too, under their names: `"w1"`, in a dict `"generator.w1"`. Default `true`.
   * Tensors that no optimizer updates (running means, averages) are given as `tensors`.
   */
  readonly parameters?: boolean;
}

/**
 * A checkpoint of everything as of the moment of the call, whatever is trained before the promise resolves. It shares nothing with the
 * optimizers. Waits for the device.
 *
 * @throws OptimError what `stateDict()` rejects with; `unsupported` where a backend cannot read parameters; `invalid-option` where one of
 * `tensors` has the name of a parameter
 */
export async function takeCheckpoint(
  optim: OptimWrappers,
  options: TakeCheckpointOptions = {},
): Promise<Checkpoint> {
  const { parameters = true, tensors = {}, extra, ...stateOptions } = options;
  const members = membersOf(optim);
  const whole = wholeOf(members);
  // All reads begin before the first await.
  const reading = parameters ? members.map(readParameters) : [];
  const [state, ...read] = await Promise.all([whole.stateDict(stateOptions), ...reading]);
  const all: [string, TensorInput][] = Object.entries(tensors);
  for (const [name, tensor] of read.flat()) {
    if (Object.hasOwn(tensors, name))
      refuse("invalid-option", "tensors", "names that no parameter has", name);
    all.push([name, tensor]);
  }
  return { optim: state, tensors: Object.fromEntries(all), extra };
}

export interface RestoreCheckpointOptions extends Omit<LoadOptions, "rename"> {
  /** The current name of the parameter that was saved under `saved`, in a dict by the wrapper `wrapper`. */
  readonly rename?: (saved: string, wrapper?: string) => string;
  /** Whether the parameters of the optimizers are overwritten. Default `true`. */
  readonly parameters?: boolean;
}

/**
 * Loads what `takeCheckpoint` took: parameters and state of every wrapper, or nothing. Waits for the device.
 *
 * @throws OptimError what `prepareLoad()` throws; `state-mismatch` for parameters that are not in the checkpoint or of another
 * size; `invalid-parameter` for one that was disposed. Nothing has changed then.
 */
export async function restoreCheckpoint(
  optim: OptimWrappers,
  checkpoint: Checkpoint,
  options: RestoreCheckpointOptions = {},
): Promise<LoadReport> {
  const { parameters = true, ...loadOptions } = options;
  const members = membersOf(optim);
  const prepared = wholeOf(members).prepareLoad(checkpoint.optim, loadOptions);
  try {
    const { writes, missing, mismatched } = parameters
      ? findParameters(members, checkpoint, loadOptions)
      : nothing;
    if (loadOptions.strict !== false && missing.length + mismatched.length > 0) {
      throw new OptimError("state-mismatch", "restoreCheckpoint", {
        expected: "the parameters of these optimizers among the tensors",
        hint: `Nothing was changed; missing: ${missing.join(", ")}; mismatched: ${mismatched.join(", ")}`,
        missing,
        mismatched,
      });
    }
    await writeAll(writes);
    const report = prepared.commit();
    return {
      ...report,
      missing: [...report.missing, ...missing],
      unexpected: [...report.unexpected, ...mismatched],
    };
  } catch (error) {
    prepared.dispose();
    throw error;
  }
}

export interface Member {
  /** Absent where there is no dict. */
  readonly name: string | undefined;
  readonly wrapper: AnyOptimWrapper;
}

/** Wrapper and dict save and load with the same calls. */
interface Whole {
  stateDict(options: StateDictOptions): Promise<SavedState>;
  prepareLoad(state: SavedState | undefined, options: RestoreCheckpointOptions): PreparedLoad;
}

/** The wrappers by name. @throws OptimError `invalid-wrapper` */
export function membersOf(optim: OptimWrappers): readonly Member[] {
  return namedWrappers("checkpoint", optim).map(([name, wrapper]) => ({ name, wrapper }));
}

/** The wrapper or dict that saves and loads all of them. @throws OptimError what a dict refuses */
function wholeOf(members: readonly Member[]): Whole {
  const [single] = members;
  if (single !== undefined && single.name === undefined) return single.wrapper;
  return new OptimWrapperDict(Object.fromEntries(members.map(({ name, wrapper }) => [name, wrapper])));
}

const nameIn = ({ name }: Member, parameter: string): string =>
  name === undefined ? parameter : `${name}.${parameter}`;

async function readParameters(member: Member): Promise<readonly (readonly [string, TensorInput])[]> {
  const { optimizer } = member.wrapper;
  if (!optimizer.capabilities.transfer) {
    throw new OptimError("unsupported", `takeCheckpoint: ${optimizer.backend}`, {
      expected: "a backend that can read its parameters",
      hint: "Pass parameters: false and the parameters as tensors",
    });
  }
  const values = await optimizer.readParameters();
  return optimizer.parameters.map(({ name, shape }) => [
    nameIn(member, name),
    { shape, data: values[name] as Float32Array },
  ]);
}

type Write = readonly [optimizer: AnyOptimizer, values: NamedTensors];

interface FoundParameters {
  readonly writes: readonly Write[];
  readonly missing: readonly string[];
  readonly mismatched: readonly string[];
}

const nothing: FoundParameters = { writes: [], missing: [], mismatched: [] };

/** The states of wrappers, by name in a dict. */
function statesOf(state: SavedState | undefined): ReadonlyMap<string | undefined, OptimWrapperStateDict> {
  if (state?.format !== "optim-wrapper-dict") return new Map([[undefined, state as OptimWrapperStateDict]]);
  return new Map(Object.entries(state.wrappers));
}

/** The saved values of the parameters that the state speaks of. The state was checked. */
function findParameters(
  members: readonly Member[],
  { optim, tensors = {} }: Checkpoint,
  { rename = (saved) => saved }: RestoreCheckpointOptions,
): FoundParameters {
  const missing: string[] = [];
  const mismatched: string[] = [];
  const states = statesOf(optim);
  const writes = members.map((member): Write => {
    const { name: wrapperName, wrapper } = member;
    const known = new Map(wrapper.optimizer.parameters.map(({ name, shape }) => [name, lengthOf(shape)]));
    const values = Object.create(null) as Record<string, Float32Array>;
    for (const { name } of states.get(wrapperName)?.optimizer.params ?? []) {
      const key = nameIn(member, name);
      const current = rename(name, wrapperName);
      const size = known.get(current);
      // One that is not here, the load has told.
      if (size === undefined) continue;
      if (!Object.hasOwn(tensors, key)) missing.push(key);
      else {
        const data = toFloat32(tensorOf(tensors[key] as TensorInput, key));
        if (data.length === size) values[current] = data;
        else mismatched.push(`${key}: ${data.length} elements saved, ${size} here`);
      }
    }
    return [wrapper.optimizer, values];
  });
  return { writes, missing, mismatched };
}

/** Overwrites the parameters of all optimizers, or of none. */
async function writeAll(writes: readonly Write[]): Promise<void> {
  // A parameter that was disposed refuses here already. The values that were read go back where a write refuses all the same.
  const before = await Promise.all(writes.map(async ([optimizer]) => optimizer.readParameters()));
  const undo: (() => void)[] = [];
  try {
    for (const [index, [optimizer, values]] of writes.entries()) {
      optimizer.writeParameters(values);
      undo.push(() => optimizer.writeParameters(before[index] as NamedTensors));
    }
  } catch (error) {
    for (const write of undo) write();
    throw error;
  }
}
