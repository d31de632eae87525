import { refuse } from "../errors.ts";
import type { BaseHyperparameters } from "../hyperparameters.ts";
import type { ParamGroupInput, ParametersInput } from "../optimizer.ts";
import type { HyperparameterGroup } from "./groups.ts";

/**
 * One parameter and all that an optimizer keeps for it. `P` is the host's parameter (a Float32Array, a tf.Variable), `V` a vector in
 * the backend's storage, `S` a scalar where the backend decides: a number on the host, something readable later on a device.
 */
export interface Parameter<P, V, S> {
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
  readonly value: P;
  /** See {@link ParameterDescription}. */
  readonly master?: boolean;
  readonly group: HyperparameterGroup;
  frozen: boolean;
  /** Made at the first gradient and kept. Its contents count only while `pending`. */
  accumulator: V | undefined;
  pending: boolean;
  /** Steps taken. */
  step: S;
  /** Whether it was in a step that was enqueued, skipped or not: from then on it has its slots. */
  stepped: boolean;
  /** Slots are made when a structure first needs them, and never dropped: a slot that is switched off keeps its value. */
  readonly slots: Map<string, V>;
  readonly scalarSlots: Map<string, S>;
}

/** What a backend says of a parameter. */
export interface ParameterDescription {
  readonly shape: readonly number[];
  /** What makes it the same parameter as another: an array, a variable, a buffer with its offset. */
  readonly identity: unknown;
  /**
   * Whether it is stored in less than float32. Then the optimizer keeps its elements in float32 too, in a slot named `master` that begins
   * with what the parameter holds (`Engine.allocateMaster`), and the engine rounds what a step or `Engine.write` puts there. Default `false`.
   */
  readonly master?: boolean;
}

/** The slot of parameters with a master, which no rule may have. */
export const masterSlot = "master";

export interface NamedParameter<P> extends ParameterDescription {
  readonly name: string;
  readonly length: number;
  readonly value: P;
}

export interface CollectedGroup<P> {
  readonly name: string;
  readonly options: object;
  readonly parameters: readonly NamedParameter<P>[];
}

/**
 * Brings both ways of writing parameters into one form.
 *
 * @param count of groups that the optimizer has already
 * @param places where each group, name and identity that it has was written. What is collected is added: give a copy, to be thrown away
 * with the error where this throws
 * @throws OptimError `empty-parameters`, `duplicate-parameter` (both places named), `invalid-parameter`, `invalid-name`
 */
export function collectParameters<P, H extends BaseHyperparameters>(
  input: ParametersInput<P, H>,
  describe: (value: P, where: string) => ParameterDescription,
  who: string,
  count: number,
  places: Map<unknown, string>,
): readonly CollectedGroup<P>[] {
  const claim = (key: unknown, place: string): void => {
    const earlier = places.get(key);
    if (earlier !== undefined) {
      refuse("duplicate-parameter", place, "each once in one optimizer, by name and by identity", earlier);
    }
    places.set(key, place);
  };
  const label = (kind: string, name: unknown, where: string): string => {
    if (typeof name !== "string" || name === "") refuse("invalid-name", where, `a ${kind} with a name`, name);
    return `${kind} ${JSON.stringify(name)}`;
  };
  const isList = Array.isArray(input);
  const written = (isList ? input : [{ params: input }]) as readonly (ParamGroupInput<P, H> | undefined)[];
  if (written.length === 0) refuse("empty-parameters", who, "at least one parameter group", input);
  return written.map((group, index) => {
    const where = isList ? `${who}: groups[${index}]` : who;
    const { name = String(count + index), params, ...options } = Object(group) as ParamGroupInput<P, H>;
    if (Object(params) !== params) {
      refuse(
        "invalid-parameter",
        where,
        "a record { name: parameter }, or a list of groups { params: record }",
        group,
      );
    }
    const groupLabel = label("group", name, where);
    claim(groupLabel, `${where}: ${groupLabel}`);
    const parameters = Object.entries<P>(params).map(([parameterName, value]) => {
      const key = label("parameter", parameterName, where);
      const place = `${where}: ${key}`;
      const description = describe(value, place);
      claim(key, place);
      claim(description.identity, place);
      return { ...description, name: parameterName, length: lengthOf(description.shape), value };
    });
    if (parameters.length === 0) refuse("empty-parameters", where, "at least one parameter", params);
    return { name, options, parameters };
  });
}

/** Gives a parameter the slots of its group's structure that it lacks. */
export function ensureSlots<P, V, S>(
  engine: {
    allocate(parameter: Parameter<P, V, S>, initial: number): V;
    allocateMaster?(parameter: Parameter<P, V, S>): V;
    scalar(value: number): S;
  },
  parameter: Parameter<P, V, S>,
): void {
  if (parameter.master === true && !parameter.slots.has(masterSlot)) {
    const master = engine.allocateMaster?.(parameter);
    if (master !== undefined) parameter.slots.set(masterSlot, master);
  }
  const { slots, scalarSlots } = parameter.group.initialSlots();
  for (const [name, initial] of slots) {
    if (!parameter.slots.has(name)) parameter.slots.set(name, engine.allocate(parameter, initial));
  }
  for (const [name, initial] of scalarSlots) {
    if (!parameter.scalarSlots.has(name)) parameter.scalarSlots.set(name, engine.scalar(initial));
  }
}

/** The elements of a shape. */
export function lengthOf(shape: readonly number[]): number {
  return shape.reduce((length, side) => length * side, 1);
}
