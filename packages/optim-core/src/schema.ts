import { type OptimErrorCode, refuse } from "./errors.ts";

/** The form that a plain value must have. */
export type Schema =
  /** A test, with the words for it. */
  | Test
  /** An array of it. */
  | { readonly items: Schema }
  /** A record with any keys. */
  | { readonly each: Schema }
  | Fields
  /** The form that this very value must have. */
  | ((value: never) => Schema);

export type Test = readonly [fine: (value: never) => boolean, expected: string];

/** An object with these keys. A key that ends with `?` may be absent. */
export interface Fields {
  readonly fields: { readonly [name: string]: Schema };
}

export const isFinite32 = (value: unknown): value is number =>
  Number.isFinite(value) && Number.isFinite(Math.fround(value as number));

export const anything: Test = [() => true, ""];
export const aBoolean: Test = [(value: unknown) => typeof value === "boolean", "true or false"];
export const aString: Test = [(value: unknown) => typeof value === "string", "a string"];
export const aFunction: Test = [(value: unknown) => typeof value === "function", "a function"];
/** Whether it is a Float32Array, of this realm or another (an iframe, a vm context). */
export const isTensor = (value: unknown): value is Float32Array =>
  ArrayBuffer.isView(value) && {}.toString.call(value) === "[object Float32Array]";

export const aTensor: Test = [isTensor, "a Float32Array, which JSON cannot hold"];
export const aNumber: Test = [(value: unknown) => typeof value === "number", "a number"];
export const aFinite: Test = [isFinite32, "a finite number"];
export const aPositive: Test = [
  (value: unknown) => isFinite32(value) && Math.fround(value) > 0,
  "a positive finite number",
];

/** Whether it is a number of things. */
export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

export const integerFrom = (least: number): Test => [
  (value: number) => Number.isSafeInteger(value) && value >= least,
  `an integer of at least ${String(least)}`,
];

export const oneOf = (...values: readonly unknown[]): Test => [
  (value: unknown) => values.includes(value),
  values.map((value) => JSON.stringify(value)).join(" or "),
];

/**
 * Checks a plain value from outside. States may have keys that the schema does not name, options may not. A value that fits costs no more than a look at each
 * key: calls of a training loop check their options with it.
 *
 * @throws OptimError `code` or `unknown-option`, naming the place
 */
export function checkSchema(code: OptimErrorCode, where: string, value: unknown, schema: Schema): void {
  const fault = faultIn(value, schema, code !== "invalid-state");
  if (fault === undefined) return;
  refuse(fault.code ?? code, where + fault.place, fault.expected, fault.received);
}

interface Fault {
  /** From the value that is checked to that which is wrong: `.clipGrad.maxNorm`. */
  readonly place: string;
  readonly expected: string;
  readonly received: unknown;
  readonly code?: OptimErrorCode;
}

function faultIn(value: unknown, schema: Schema, strict: boolean): Fault | undefined {
  if (typeof schema === "function") return faultIn(value, schema(value as never), strict);
  if ("items" in schema) return faultInItems(value, schema.items, strict);
  if ("each" in schema || "fields" in schema) {
    if (Object.prototype.toString.call(value) !== "[object Object]") {
      return { place: "", expected: "an object", received: value };
    }
    const record = value as Entries;
    return "each" in schema
      ? faultInEach(record, schema.each, strict)
      : faultInFields(record, schema.fields, strict);
  }
  const [fine, expected] = schema;
  return fine(value as never) ? undefined : { place: "", expected, received: value };
}

interface Entries {
  readonly [name: string]: unknown;
}

function faultInItems(value: unknown, schema: Schema, strict: boolean): Fault | undefined {
  if (!Array.isArray(value)) return { place: "", expected: "an array", received: value };
  for (const [index, item] of value.entries()) {
    const fault = faultIn(item, schema, strict);
    if (fault) return { ...fault, place: `[${index}]${fault.place}` };
  }
  return undefined;
}

function faultInEach(record: Entries, schema: Schema, strict: boolean): Fault | undefined {
  for (const name of Object.keys(record)) {
    const fault = faultIn(record[name], schema, strict);
    if (fault) return { ...fault, place: `.${name}${fault.place}` };
  }
  return undefined;
}

function faultInFields(record: Entries, schemas: Fields["fields"], strict: boolean): Fault | undefined {
  const fields = parsed.get(schemas) ?? parse(schemas);
  for (const name of strict ? Object.keys(record) : []) {
    if (fields.has(name)) continue;
    const expected = `one of ${[...fields.keys()].join(", ")}`;
    return { place: "", expected, received: name, code: "unknown-option" };
  }
  for (const [name, { optional, schema }] of fields) {
    if (optional && record[name] === undefined) continue;
    const fault = faultIn(record[name], schema, strict);
    if (fault) return { ...fault, place: `.${name}${fault.place}` };
  }
  return undefined;
}

interface Field {
  readonly optional: boolean;
  readonly schema: Schema;
}

const parsed = /* @__PURE__ */ new WeakMap<Fields["fields"], ReadonlyMap<string, Field>>();

function parse(schemas: Fields["fields"]): ReadonlyMap<string, Field> {
  const entries = Object.entries(schemas).map(([key, schema]) => {
    const field: Field = { optional: key.endsWith("?"), schema };
    return [key.replace("?", ""), field] as const;
  });
  const fields = new Map(entries);
  parsed.set(schemas, fields);
  return fields;
}
