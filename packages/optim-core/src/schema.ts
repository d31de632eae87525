import { type OptimErrorCode, refuse } from "./errors.ts";

/** The form that a plain value must have. */
export type Schema =
  /** A test, with the words for it. */
  | Test
  /** An array of it. */
  | { readonly items: Schema }
  /** A record with any keys. */
  | { readonly each: Schema }
  | Fields;

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
 * Checks a plain value from outside. States may have keys that the schema does not name, options may not.
 *
 * @throws OptimError `code` or `unknown-option`, naming the place
 */
export function checkSchema(code: OptimErrorCode, where: string, value: unknown, schema: Schema): void {
  if ("items" in schema) {
    if (!Array.isArray(value)) return refuse(code, where, "an array", value);
    for (const [index, item] of value.entries()) checkSchema(code, `${where}[${index}]`, item, schema.items);
  } else if ("each" in schema || "fields" in schema) {
    if (Object.prototype.toString.call(value) !== "[object Object]") refuse(code, where, "an object", value);
    const record = value as { readonly [name: string]: unknown };
    const check = (name: string, inner: Schema): void =>
      checkSchema(code, `${where}.${name}`, record[name], inner);
    if ("each" in schema) {
      for (const name of Object.keys(record)) check(name, schema.each);
    } else {
      const names = Object.keys(schema.fields).map((key) => key.replace("?", ""));
      const unknown = Object.keys(record).find((name) => !names.includes(name));
      if (unknown !== undefined && code !== "invalid-state") {
        refuse("unknown-option", where, `one of ${names.join(", ")}`, unknown);
      }
      for (const [key, inner] of Object.entries(schema.fields)) {
        const name = key.replace("?", "");
        if (name === key || record[name] !== undefined) check(name, inner);
      }
    }
  } else {
    const [fine, expected] = schema;
    if (!fine(value as never)) refuse(code, where, expected, value);
  }
}
