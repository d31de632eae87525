import { OptimError } from "../errors.ts";
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
}

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

/** What an optimizer has already, by name and identity, with the place where it was written. */
export interface KnownParameters {
  readonly groups: Set<string>;
  readonly names: Map<string, string>;
  readonly identities: Map<unknown, string>;
}

/**
 * Brings both ways of writing parameters into one form, and adds them to `known`, a copy that is thrown away with the
 * error where this throws.
 *
 * @throws OptimError `empty-parameters`, `duplicate-parameter` (both places named), `invalid-parameter`, `invalid-name`
 */
export function collectParameters<P, H extends BaseHyperparameters>(
  input: ParametersInput<P, H>,
  describe: (value: P, where: string) => ParameterDescription,
  who: string,
  known: KnownParameters,
): readonly CollectedGroup<P>[] {
  const { groups: groupNames, names, identities } = known;
  if (typeof input !== "object" || (input as unknown) === null) {
    throw new OptimError("invalid-parameter", who, {
      expected: "a record { name: parameter } or a list of groups",
      received: input,
    });
  }
  const written: readonly ParamGroupInput<P, H>[] = isGroups(input)
    ? input
    : [{ params: input } as ParamGroupInput<P, H>];
  const groups = written.map((group, index) => {
    const where = isGroups(input) ? `${who}: groups[${index}]` : who;
    if (
      typeof group !== "object" ||
      (group as unknown) === null ||
      typeof group.params !== "object" ||
      (group.params as unknown) === null
    ) {
      throw new OptimError("invalid-parameter", where, {
        expected: "{ params: { name: parameter }, …options }",
        received: group,
      });
    }
    const { name = String(groupNames.size), params, ...options } = group;
    if (typeof name !== "string" || name === "" || groupNames.has(name)) {
      throw new OptimError(groupNames.has(name) ? "duplicate-parameter" : "invalid-name", `${where}.name`, {
        expected: "a name that is not empty and that no other group has",
        received: name,
      });
    }
    groupNames.add(name);
    const parameters = Object.entries<P>(params).map(([parameterName, value]) => {
      const place = `${where}: parameter ${JSON.stringify(parameterName)}`;
      if (parameterName === "")
        throw new OptimError("invalid-name", place, { expected: "a name that is not empty" });
      const description = describe(value, place);
      const earlier = names.get(parameterName) ?? identities.get(description.identity);
      if (earlier !== undefined) {
        throw new OptimError("duplicate-parameter", place, {
          expected: "each parameter once in one optimizer, by name and by identity",
          received: `the parameter that ${earlier} has`,
        });
      }
      names.set(parameterName, place);
      identities.set(description.identity, place);
      const length = description.shape.reduce((size, side) => size * side, 1);
      return { ...description, name: parameterName, length, value };
    });
    if (parameters.length === 0)
      throw new OptimError("empty-parameters", where, {
        expected: "at least one parameter",
        received: params,
      });
    return { name, options, parameters };
  });
  if (groups.length === 0)
    throw new OptimError("empty-parameters", who, {
      expected: "at least one parameter group",
      received: input,
    });
  return groups;
}

function isGroups<P, H extends BaseHyperparameters>(
  input: ParametersInput<P, H>,
): input is readonly ParamGroupInput<P, H>[] {
  return Array.isArray(input);
}
