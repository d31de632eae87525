import { refuse } from "../../errors.ts";
import type { BaseHyperparameters } from "../../hyperparameters.ts";
import type { ParamGroupInput, ParametersInput, RuledGroupInput } from "../../optimizer.ts";
import { checkSchema, integerFrom } from "../../schema.ts";
import { requireRule, type UpdateRule } from "../../rule/define.ts";
import { lengthOf, type NamedParameter, type ParameterDescription } from "../parameter.ts";
import { matrixViewOf } from "../program/extents.ts";

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
 * @param places where each group, name and identity that it has was written. Collected parameters are added to it: give a copy, to be thrown away
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
  const groups = (isList ? input : [{ params: input }]) as readonly (Written<P> | undefined)[];
  if (groups.length === 0) refuse("empty-parameters", who, "at least one parameter group", input);
  return groups.map((group, index) => {
    const where = isList ? `${who}: groups[${index}]` : who;
    const written = Object(group) as Written<P>;
    const { name = String(count + index), params, rule = base, shapes, ...options } = written;
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
    const given = shapesOf(shapes, named, where);
    const parameters = Object.entries<P>(named).map(([parameterName, value]) => {
      const key = label("parameter", parameterName, where);
      const place = `${where}: ${key}`;
      const description = engine.describe(value, place);
      claim(key, place);
      claim(description.identity, place);
      const shape = given.get(parameterName) ?? description.shape;
      if (shape !== description.shape) requireFits(shape, description.shape, place);
      const view = matrixViewOf(shape, description.outputs);
      if (rule.definition.shapes === "matrix" && !view.matrix) refuseVector(rule.name, place, shape);
      return { ...description, shape, view, name: parameterName, length: lengthOf(shape), value };
    });
    if (parameters.length === 0) refuse("empty-parameters", where, "at least one parameter", params);
    return { name, rule, options, parameters };
  });
}

/** The shapes that a group gives to parameters whose host knows none. */
function shapesOf(shapes: unknown, params: object, where: string): ReadonlyMap<string, readonly number[]> {
  if (shapes === undefined) return new Map();
  checkSchema("invalid-option", `${where}: shapes`, shapes, { each: { items: integerFrom(0) } });
  const entries = Object.entries(shapes as { readonly [name: string]: readonly number[] });
  const stray = entries.find(([name]) => !Object.hasOwn(params, name));
  if (stray !== undefined) refuse("unknown-parameter", `${where}: shapes`, `names of its params`, stray[0]);
  return new Map(entries);
}

function requireFits(shape: readonly number[], known: readonly number[], place: string): void {
  const same = shape.length === known.length && shape.every((side, index) => side === known[index]);
  if (same) return;
  const length = lengthOf(known);
  if (known.length === 1 && lengthOf(shape) === length) return;
  const expected =
    known.length === 1 ? `a shape of its ${length} elements` : `the shape that it has, [${known.join(", ")}]`;
  refuse("invalid-parameter", place, expected, shape);
}

function refuseVector(rule: string, place: string, shape: readonly number[]): never {
  return refuse("invalid-parameter", place, `two dimensions or more for ${rule}`, shape, {
    hint: "Give it a group with another rule, or, if it is a matrix, its shape: { params, shapes: { name: [rows, cols] } }",
  });
}
