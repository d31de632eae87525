import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { duplicateKey } from "./duplicate-key.ts";

/**
 * Plain data as JSON text that gives the very same data back. JSON has no NaN, no infinities and no −0: those four numbers are written
 * `{ "$number": "NaN" }`, and so that nothing else looks like them, a key that begins with `$` is written with one more.
 *
 * @throws OptimError `invalid-option`, naming the place, for what is not plain: typed arrays, dates, maps, functions, bigints, cycles
 */
export function toJson(value: unknown, where: string): string {
  return JSON.stringify(written(value, where, 0));
}

/** @throws OptimError `invalid-state` */
export function fromJson(text: string, where: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OptimError("invalid-state", where, { expected: "JSON", hint: "The file is damaged", cause });
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) refuse("invalid-state", where, "each key of an object once", twice);
  return read(value, where, 0);
}

const plainData = "plain data: numbers, strings, booleans, null, arrays and records";

/** Deeper data is refused on both sides: it is a cycle, or made to exhaust the stack. */
const mostLevels = 64;

function written(value: unknown, where: string, level: number): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: numberName(value) };
  }
  if (typeof value !== "object" || level === mostLevels) refuse("invalid-option", where, plainData, value);
  if (Array.isArray(value)) {
    // From holes too, which are refused as undefined is.
    return Array.from(value, (item: unknown, index) => written(item, `${where}[${index}]`, level + 1));
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null)
    refuse("invalid-option", where, plainData, value);
  return Object.fromEntries(
    Object.entries(value as { readonly [key: string]: unknown })
      .filter(([, inner]) => inner !== undefined)
      .map(([key, inner]) => [
        key.startsWith("$") ? `$${key}` : key,
        written(inner, `${where}.${key}`, level + 1),
      ]),
  );
}

function read(value: unknown, where: string, level: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (level === mostLevels) refuse("invalid-state", where, `at most ${mostLevels} levels`, value);
  if (Array.isArray(value)) return value.map((item) => read(item, where, level + 1));
  const entries = Object.entries(value);
  const [only] = entries;
  if (entries.length === 1 && only?.[0] === "$number") {
    const number = Object.hasOwn(numbers, only[1] as string) ? numbers[only[1] as string] : undefined;
    return number ?? refuse("invalid-state", where, Object.keys(numbers).join(", "), only[1]);
  }
  return Object.fromEntries(
    entries.map(([key, inner]) => [
      key.startsWith("$$") ? key.slice(1) : key,
      read(inner, `${where}.${key}`, level + 1),
    ]),
  );
}

const numberName = (value: number): string => (Object.is(value, -0) ? "-0" : String(value));

const numbers: { readonly [name: string]: number } = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
  "-0": -0,
};
