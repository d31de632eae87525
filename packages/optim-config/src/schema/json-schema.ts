import { refuse } from "@mm/optim-core/backend";

/** The part of JSON Schema (draft 7) that configurations need, as plain data: editors and other validators read it. */
export interface JsonSchema {
  readonly $schema?: string;
  /** In what is published alone: configurations are checked with schemas that hold all of it. */
  readonly $ref?: string;
  readonly definitions?: { readonly [name: string]: JsonSchema };
  readonly title?: string;
  readonly description?: string;
  readonly type?: JsonType;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly properties?: { readonly [name: string]: JsonSchema };
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | false;
  readonly propertyNames?: JsonSchema;
  readonly minProperties?: number;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly anyOf?: readonly JsonSchema[];
}

export type JsonType = "string" | "number" | "integer" | "boolean" | "object" | "array";

type Members = { readonly [name: string]: unknown };

/**
 * Checks a value against a schema. Of several alternatives the one is taken that fits by type and by its `enum` properties, so that an
 * error names the field within it. An `undefined` field counts as absent.
 *
 * @throws OptimError `invalid-option` or `unknown-option`, for the first thing that is wrong, naming its path
 */
export function checkJson(schema: JsonSchema, value: unknown, path: string): void {
  const { anyOf, enum: values, type } = schema;
  if (anyOf) return checkJson(chosen(flat(anyOf), value, path), value, path);
  if (values) {
    if (!values.includes(value as string)) refuse("invalid-option", path, describeSchema(schema), value);
  } else if (!isType(type, value)) refuse("invalid-option", path, describeSchema(schema), value);
  else if (type === "object") checkMembers(schema, value as Members, path);
  else if (type === "array") checkItems(schema, value as readonly unknown[], path);
  else if (!isWithin(schema, value)) refuse("invalid-option", path, describeSchema(schema), value);
}

/** A schema in a few words: `"a number of at least 0"`. */
function describeSchema(schema: JsonSchema): string {
  const { anyOf, enum: values, type, items, minLength, minItems, maxItems, pattern } = schema;
  if (anyOf) return [...new Set(anyOf.map(describeSchema))].join(" or ");
  if (values) return values.map((value) => JSON.stringify(value)).join(" or ");
  if (type === "array") {
    if (minItems !== undefined && minItems === maxItems) return `${minItems} numbers in an array`;
    return items?.type === "number" ? "an array of numbers" : "an array";
  }
  if (type === "boolean") return "true or false";
  if (type === "string")
    return pattern ? `a string like ${pattern}` : minLength ? "a string, not empty" : "a string";
  if (type === "object" || type === undefined) return "an object";
  const limits = [
    [schema.minimum, "of at least"],
    [schema.exclusiveMinimum, "above"],
    [schema.exclusiveMaximum, "below"],
  ].flatMap(([limit, words]) => (limit === undefined ? [] : [`${words} ${limit}`]));
  return [type === "integer" ? "an integer" : "a finite number", limits.join(" and ")].join(" ").trim();
}

const types: { readonly [T in JsonType]: (value: unknown) => boolean } = {
  array: Array.isArray,
  object: (value) => Object.prototype.toString.call(value) === "[object Object]",
  integer: Number.isSafeInteger,
  // The numbers that JSON can say and float32 can hold.
  number: (value) => Number.isFinite(value) && Number.isFinite(Math.fround(value as number)),
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
};

const isType = (type: JsonType | undefined, value: unknown): boolean =>
  type === undefined || types[type](value);

function isWithin(schema: JsonSchema, value: unknown): boolean {
  const { minimum, exclusiveMinimum, exclusiveMaximum, minLength = 0, pattern } = schema;
  if (typeof value === "string") {
    return value.length >= minLength && (pattern === undefined || new RegExp(pattern, "u").test(value));
  }
  const number = Number(value);
  return (
    number >= (minimum ?? -Infinity) &&
    number > (exclusiveMinimum ?? -Infinity) &&
    number < (exclusiveMaximum ?? Infinity)
  );
}

function checkItems(
  { items, minItems = 0, maxItems = Infinity }: JsonSchema,
  value: readonly unknown[],
  path: string,
): void {
  if (value.length < minItems || value.length > maxItems) {
    const counts = maxItems === Infinity ? `at least ${minItems}` : String(minItems);
    refuse("invalid-option", path, `an array of ${counts}`, value);
  }
  // Array.from: a hole is an element that is undefined.
  if (items) Array.from(value).forEach((item, index) => checkJson(items, item, `${path}[${index}]`));
}

function checkMembers(schema: JsonSchema, value: Members, path: string): void {
  const { properties = {}, required = [], additionalProperties, propertyNames, minProperties = 0 } = schema;
  const names = Object.keys(value).filter((name) => value[name] !== undefined);
  if (additionalProperties === false) {
    const unknown = names.find((name) => !Object.hasOwn(properties, name));
    const known = Object.keys(properties).join(", ");
    if (unknown !== undefined) refuse("unknown-option", `${path}.${unknown}`, `one of ${known}`, unknown);
  }
  const missing = required.find((name) => !names.includes(name));
  if (missing !== undefined) {
    refuse("invalid-option", `${path}.${missing}`, describeSchema(properties[missing] ?? {}), undefined);
  }
  if (names.length < minProperties)
    refuse("invalid-option", path, `at least ${minProperties} of its fields`, names);
  for (const name of names) {
    if (propertyNames) checkJson(propertyNames, name, memberPath(path, name));
    const member = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (member) checkJson(member, value[name], memberPath(path, name));
  }
}

/** A copy of what passed: without what is undefined, and the caller's no longer. */
export const plainCopy = <T>(json: T): T => JSON.parse(JSON.stringify(json)) as T;

/** `config.optimizer`, and `config.customKeys["backbone.0"]` for a name that is no identifier. */
export function memberPath(path: string, name: string): string {
  return /^[A-Za-z_$][\w$]*$/u.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

const flat = (alternatives: readonly JsonSchema[]): readonly JsonSchema[] =>
  alternatives.flatMap((one) => (one.anyOf ? flat(one.anyOf) : [one]));

/** The alternative that a value means: by its type, and among objects by words that do not contradict and by the names of its fields. */
function chosen(alternatives: readonly JsonSchema[], value: unknown, path: string): JsonSchema {
  const ofType = alternatives.filter(({ type, enum: words }) =>
    words ? typeof value === "string" : isType(type, value),
  );
  const [first, ...others] = ofType;
  if (first === undefined) {
    return refuse("invalid-option", path, describeSchema({ anyOf: alternatives }), value);
  }
  if (others.length === 0) return first;
  const members = value as Members;
  // A field that one of them alone has tells them apart by its name.
  const isCommon = (name: string): boolean =>
    ofType.filter(({ properties }) => properties?.[name]?.enum !== undefined).length > 1;
  const wordsOf = ({ properties = {} }: JsonSchema): readonly (readonly [string, readonly string[]])[] =>
    Object.entries(properties).flatMap(([name, { enum: words }]) =>
      words && isCommon(name) ? [[name, words] as const] : [],
    );
  const fitting = ofType.filter((one) =>
    wordsOf(one).every(
      ([name, words]) => members[name] === undefined || words.includes(members[name] as string),
    ),
  );
  const known = ({ properties = {} }: JsonSchema): number =>
    Object.keys(members).filter((name) => Object.hasOwn(properties, name)).length;
  const best = fitting.reduce((a, b) => (known(b) > known(a) ? b : a), fitting[0] ?? first);
  const needed = wordsOf(best).find(
    ([name]) => !fitting.includes(best) || (members[name] === undefined && best.required?.includes(name)),
  );
  if (needed === undefined) return best;
  const [name] = needed;
  const words = ofType.flatMap(({ properties }) => properties?.[name]?.enum ?? []);
  return refuse("invalid-option", `${path}.${name}`, describeSchema({ enum: words }), members[name]);
}
