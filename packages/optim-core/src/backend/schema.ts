import { OptimError } from "../errors.ts";

/** What a plain value must look like. */
export type Schema =
  /** A test, with the words for it. */
  | { readonly is: (value: unknown) => boolean; readonly expected: string }
  /** An array of it. */
  | { readonly items: Schema }
  /** A record with any keys. */
  | { readonly each: Schema }
  /** An object with these keys; others are ignored. A key that ends with `?` may be absent. */
  | { readonly keys: { readonly [name: string]: Schema } };

const aRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** Checks a plain value from outside against a schema. @throws OptimError `invalid-state`, naming the place */
export function checkSchema(value: unknown, schema: Schema, where: string): void {
  const refuse = (expected: string): never => {
    throw new OptimError("invalid-state", where, { expected, received: value, hint: "Nothing was changed" });
  };
  if ("is" in schema) {
    if (!schema.is(value)) refuse(schema.expected);
  } else if ("items" in schema) {
    if (!Array.isArray(value)) return refuse("an array");
    for (let index = 0; index < value.length; index += 1) {
      checkSchema(value[index], schema.items, `${where}[${index}]`);
    }
  } else if ("each" in schema) {
    if (!aRecord(value)) return refuse("a record");
    for (const [name, item] of Object.entries(value)) checkSchema(item, schema.each, `${where}.${name}`);
  } else {
    if (!aRecord(value)) return refuse("an object");
    for (const [key, inner] of Object.entries(schema.keys)) {
      const name = key.replace("?", "");
      if (name === key || value[name] !== undefined) checkSchema(value[name], inner, `${where}.${name}`);
    }
  }
}
