import { refuse } from "../../errors.ts";
import type { BaseHyperparameters } from "../../hyperparameters.ts";
import type { ParamGroupInput, ParametersInput, RuledGroupInput } from "../../optimizer.ts";
import { requireRule, type UpdateRule } from "../../rule/define.ts";
import { lengthOf, type NamedParameter, type ParameterDescription } from "../parameter.ts";

export interface CollectedGroup<P> {
  readonly name: string;
  readonly rule: UpdateRule;
  readonly options: object;
  readonly parameters: readonly NamedParameter<P>[];
}

type Written<P> = ParamGroupInput<P, object> | RuledGroupInput<P, BaseHyperparameters>;

/**
 * Brings both ways of writing parameters into one form.
 *
 * @param base the rule of groups that name no other
 * @param count of groups that the optimizer has already
 * @param places where each group, name and identity that it has was written. What is collected is added: give a copy, to be thrown away
 * with the error where this throws
 * @throws OptimError `empty-parameters`, `duplicate-parameter` (both places named), `invalid-parameter`, `invalid-name`, `invalid-rule`
 */
export function collectParameters<P, H extends BaseHyperparameters>(
  input: ParametersInput<P, H>,
  engine: {
    describe(value: P, where: string): ParameterDescription;
    named?(params: object, where: string): { readonly [name: string]: P };
  },
  who: string,
  base: UpdateRule,
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
  const written = (isList ? input : [{ params: input }]) as readonly (Written<P> | undefined)[];
  if (written.length === 0) refuse("empty-parameters", who, "at least one parameter group", input);
  return written.map((group, index) => {
    const where = isList ? `${who}: groups[${index}]` : who;
    const { name = String(count + index), params, rule = base, ...options } = Object(group) as Written<P>;
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
    requireRule(`${where}: ${groupLabel}`, rule);
    const named = engine.named?.(params, where) ?? params;
    const parameters = Object.entries<P>(named).map(([parameterName, value]) => {
      const key = label("parameter", parameterName, where);
      const place = `${where}: ${key}`;
      const description = engine.describe(value, place);
      claim(key, place);
      claim(description.identity, place);
      return { ...description, name: parameterName, length: lengthOf(description.shape), value };
    });
    if (parameters.length === 0) refuse("empty-parameters", where, "at least one parameter", params);
    return { name, rule, options, parameters };
  });
}
