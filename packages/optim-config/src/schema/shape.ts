import type { JsonSchema } from "./json-schema.ts";

declare const passes: unique symbol;

/**
 * A schema together with the type of what passes it. `T` is invariant: a shape that is annotated with an interface has its fields, each
 * of its type and optional where the interface says so, or it does not compile.
 */
export interface Shape<in out T> {
  readonly schema: JsonSchema;
  readonly [passes]?: (value: T) => T;
}

/** A field that may be absent. */
export interface OptionalShape<in out T> {
  readonly optional: Shape<T>;
}

/** The shapes of all fields of `T`. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? OptionalShape<Exclude<T[K], undefined>>
    : Shape<T[K]>;
};

export const optional = <T>(shape: Shape<T>): OptionalShape<T> => ({ optional: shape });

export const described = <T>(description: string, { schema }: Shape<T>): Shape<T> => ({
  schema: { description, ...schema },
});

export const text = (rest: Pick<JsonSchema, "minLength" | "pattern"> = {}): Shape<string> => ({
  schema: { type: "string", ...rest },
});
export const flag: Shape<boolean> = { schema: { type: "boolean" } };
export const number = (
  limits: Pick<JsonSchema, "minimum" | "exclusiveMinimum" | "exclusiveMaximum"> = {},
): Shape<number> => ({ schema: { type: "number", ...limits } });
export const integerFrom = (minimum: number): Shape<number> => ({ schema: { type: "integer", minimum } });
export const oneOf = <const Words extends readonly string[]>(...words: Words): Shape<Words[number]> => ({
  schema: { type: "string", enum: words },
});

export const list = <T>(
  { schema }: Shape<T>,
  limits: Pick<JsonSchema, "minItems"> = {},
): Shape<readonly T[]> => ({
  schema: { type: "array", items: schema, ...limits },
});
export const record = <T>(
  { schema }: Shape<T>,
  names?: Shape<string>,
): Shape<{ readonly [name: string]: T }> => ({
  schema: { type: "object", additionalProperties: schema, ...(names && { propertyNames: names.schema }) },
});

// `T` is the annotation's, never read off the fields: those are what is compared with it.

/** An object with these fields and no others. */
export const object = <T>(fields: Fields<NoInfer<T>>): Shape<T> => ({
  schema: { ...objectSchema(fields), additionalProperties: false },
});

/** An object with these fields, at least one of them. */
export const some = <T>(fields: Fields<NoInfer<T>>): Shape<T> => ({
  schema: { ...object<T>(fields).schema, minProperties: 1 },
});

/** An object with these fields, and others that fit `rest`. */
export const open = <T>(fields: Fields<NoInfer<T>>, rest: JsonSchema): Shape<T> => ({
  schema: { ...objectSchema(fields), additionalProperties: rest },
});

/** One of several, told apart by type and by the words of their fields. */
export const either = <const S extends readonly { readonly schema: JsonSchema }[]>(
  ...shapes: S
): Shape<Passing<S[number]>> => ({
  schema: { anyOf: shapes.map(({ schema }) => schema) },
});

type Passing<S> = S extends Shape<infer T> ? T : never;

function objectSchema(fields: object): JsonSchema {
  const entries = Object.entries(
    fields as { readonly [name: string]: Shape<unknown> | OptionalShape<unknown> },
  );
  return {
    type: "object",
    properties: Object.fromEntries(
      entries.map(([name, field]) => [name, ("optional" in field ? field.optional : field).schema]),
    ),
    required: entries.flatMap(([name, field]) => ("optional" in field ? [] : [name])),
  };
}
