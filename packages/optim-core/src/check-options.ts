import { OptimError, type OptimErrorCode } from "./errors.ts";

/** What a value must be: a test, and the words for it. */
export type Check = readonly [fine: (value: never) => boolean, expected: string];

export const anything: Check = [() => true, ""];
export const aBoolean: Check = [(value: unknown) => typeof value === "boolean", "true or false"];
export const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
export const aCount: Check = [isCount, "a count"];
export const aPositiveCount: Check = [(value: number) => isCount(value) && value > 0, "a positive integer"];
export const aNumber: Check = [Number.isFinite, "a finite number"];
export const aPositive: Check = [
  (value: number) => Number.isFinite(value) && value > 0,
  "a positive finite number",
];

/**
 * Checks an options object by name: every option against its check, and no other names. Returns a copy.
 *
 * @throws OptimError `invalid-option` (or `code`), `unknown-option`
 */
export function checkOptions<T extends object>(
  who: string,
  options: T,
  checks: { readonly [K in keyof Required<T>]: Check },
  code: OptimErrorCode = "invalid-option",
): T {
  if (Object(options) !== options)
    throw new OptimError(code, who, { expected: "an object", received: options });
  for (const [name, received] of Object.entries(options) as [keyof T & string, never][]) {
    if (!Object.hasOwn(checks, name)) {
      throw new OptimError(code === "invalid-option" ? "unknown-option" : code, who, {
        expected: Object.keys(checks).join(", "),
        received: name,
      });
    }
    const [fine, expected] = checks[name];
    if ((received as unknown) !== undefined && !fine(received))
      throw new OptimError(code, `${who}: ${name}`, { expected, received });
  }
  return { ...options };
}
