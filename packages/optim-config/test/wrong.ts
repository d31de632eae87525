import type { JsonSchema } from "@mm/optim-config";

/** A value that a schema refuses, and the path of what is wrong in it. */
export interface Wrong {
  readonly value: unknown;
  readonly path: string;
  readonly because: string;
}

/** A schema with its definitions in the places that refer to them. */
export function expanded({ definitions = {}, ...schema }: JsonSchema): JsonSchema {
  const within = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(within);
    if (Object(part) !== part) return part;
    const { $ref, ...rest } = part as JsonSchema;
    const referred = $ref === undefined ? {} : definitions[$ref.replace("#/definitions/", "")];
    return Object.fromEntries(
      Object.entries({ ...referred, ...rest }).map(([name, value]) => [name, within(value)]),
    );
  };
  return within(schema) as JsonSchema;
}

/** A value that a schema accepts, with what it requires and nothing more. */
export function sample(schema: JsonSchema): unknown {
  const {
    anyOf,
    enum: words,
    type,
    properties = {},
    required = [],
    items,
    minItems = 0,
    minProperties = 0,
  } = schema;
  if (anyOf) return sample(anyOf[0] as JsonSchema);
  if (words) return words[0];
  if (type === "object") {
    const names = [...required, ...Object.keys(properties).slice(0, minProperties)];
    return Object.fromEntries(names.map((name) => [name, sample(properties[name] as JsonSchema)]));
  }
  if (type === "array") return Array.from({ length: minItems }, () => sample(items as JsonSchema));
  if (type === "string") return "abc";
  if (type === "boolean") return true;
  const above = schema.exclusiveMinimum ?? 0;
  return type === "integer" ? Math.max(1, schema.minimum ?? 1) : above + 0.5;
}

/**
 * Walks a schema and breaks every field: a wrong type, a value beyond each limit, a word that is none, what is required left out, and a name
 * that nobody reads.
 */
export function* everythingWrong(schema: JsonSchema, path: string): Generator<Wrong, void, undefined> {
  yield { value: null, path, because: "null" };
  yield* wrongWithin(schema, path);
}

function* wrongWithin(schema: JsonSchema, path: string): Generator<Wrong, void, undefined> {
  const { anyOf, type } = schema;
  if (anyOf) for (const one of anyOf) yield* wrongWithin(one, path);
  else if (type === "object") yield* wrongObjects(schema, path);
  else if (type === "array") yield* wrongArrays(schema, path);
  else yield* wrongLeaves(schema, path);
}

function* wrongObjects(schema: JsonSchema, path: string): Generator<Wrong, void, undefined> {
  const { properties = {}, required = [], additionalProperties, propertyNames, minProperties } = schema;
  const base = sample(schema) as Record<string, unknown>;
  if (additionalProperties === false) {
    yield { value: { ...base, nonsense: 1 }, path, because: "a name that nobody reads" };
  }
  for (const name of required) {
    const { [name]: _, ...rest } = base;
    yield { value: rest, path: `${path}.${name}`, because: "it is missing" };
  }
  for (const [name, inner] of Object.entries(properties)) {
    for (const wrong of everythingWrong(inner, `${path}.${name}`))
      yield { ...wrong, value: { ...base, [name]: wrong.value } };
  }
  if (minProperties) yield { value: {}, path, because: "it is empty" };
  if (propertyNames)
    yield {
      value: { "a.b": sample(additionalProperties as JsonSchema) },
      path,
      because: "a name with a dot",
    };
  if (additionalProperties) {
    for (const wrong of everythingWrong(additionalProperties, `${path}.lr`)) {
      yield { ...wrong, value: { ...base, lr: wrong.value } };
    }
  }
}

function* wrongArrays(
  { items = {}, minItems = 0, maxItems }: JsonSchema,
  path: string,
): Generator<Wrong, void, undefined> {
  const base = Array.from({ length: Math.max(1, minItems) }, () => sample(items));
  if (minItems > 0) yield { value: base.slice(1), path, because: "too few" };
  if (maxItems !== undefined) yield { value: [...base, sample(items)], path, because: "too many" };
  for (const wrong of everythingWrong(items, `${path}[0]`)) {
    yield { ...wrong, value: [wrong.value, ...base.slice(1)] };
  }
}

function* wrongLeaves(schema: JsonSchema, path: string): Generator<Wrong, void, undefined> {
  const { type, enum: words, minimum, exclusiveMinimum, exclusiveMaximum, minLength } = schema;
  yield { value: type === "string" ? true : "many", path, because: "another type" };
  if (words) yield { value: "nonsense", path, because: "no word of these" };
  if (type === "integer") yield { value: 1.5, path, because: "a fraction" };
  if (minimum !== undefined) yield { value: minimum - 1, path, because: "too small" };
  if (exclusiveMinimum !== undefined) yield { value: exclusiveMinimum, path, because: "the limit itself" };
  if (exclusiveMaximum !== undefined) yield { value: exclusiveMaximum, path, because: "the limit itself" };
  if (minLength !== undefined) yield { value: "", path, because: "an empty string" };
}
