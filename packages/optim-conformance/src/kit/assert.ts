import { isOptimError, type OptimErrorCode } from "@mm/optim-core";
import type { Tolerance } from "../factory.ts";

/** Tensors by parameter name, as a test writes them. */
export type Values = { readonly [name: string]: ArrayLike<number> };

/** Where a result may differ from what is expected, element by element. `"exact"`: nowhere, though zeros have either sign. */
export type Allowed = Tolerance | "exact";

/**
 * Compares tensors by name; all names have to be there, and no others. Errors name the stage, the element, and by how much it is off:
 * `unscale: w[1] expected 2, got 2048 (off by 2046)`.
 */
export function expectTensors(stage: string, received: Values, expected: Values, allowed: Allowed): void {
  const names = Object.keys(expected);
  expectEqual(stage, "names", Object.keys(received).sort(), names.sort());
  for (const name of names) {
    expectNumbers(
      `${stage}: ${name}`,
      received[name] as ArrayLike<number>,
      expected[name] as ArrayLike<number>,
      allowed,
    );
  }
}

/** Compares two lists of numbers. `where` begins with the stage. */
export function expectNumbers(
  where: string,
  received: ArrayLike<number>,
  expected: ArrayLike<number>,
  allowed: Allowed,
): void {
  if (received.length !== expected.length) {
    throw new Error(`${where} expected ${expected.length} numbers, got ${received.length}`);
  }
  for (let index = 0; index < expected.length; index += 1) {
    const [a, b] = [received[index] as number, Math.fround(expected[index] as number)];
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
    const difference = Math.abs(a - b);
    const limit =
      allowed === "exact" || !Number.isFinite(b) ? 0 : allowed.absolute + allowed.relative * Math.abs(b);
    if (difference <= limit) continue;
    throw new Error(`${where}[${index}] expected ${b}, got ${a} (off by ${difference})`);
  }
}

/** Compares plain data. */
export function expectEqual(stage: string, what: string, received: unknown, expected: unknown): void {
  if (same(received, expected)) return;
  throw new Error(`${stage}: ${what} expected ${show(expected)}, got ${show(received)}`);
}

/** The error that `run` throws, or that its promise rejects with, has to be a coded error with one of `codes`. */
export async function expectRefusal(
  stage: string,
  what: string,
  codes: OptimErrorCode | readonly OptimErrorCode[],
  run: () => unknown,
): Promise<void> {
  const wanted = typeof codes === "string" ? [codes] : codes;
  let outcome = "no error";
  try {
    await run();
  } catch (error) {
    if (isOptimError(error) && wanted.includes(error.code)) return;
    outcome = isOptimError(error) ? `${error.code} (${error.message})` : String(error);
  }
  throw new Error(`${stage}: ${what} expected an OptimError ${wanted.join(" or ")}, got ${outcome}`);
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b) || (a === 0 && b === 0)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  return (
    left.length === right.size && left.every(([key, value]) => right.has(key) && same(value, right.get(key)))
  );
}

function show(value: unknown): string {
  if (typeof value === "number") return String(value);
  return value === undefined ? "nothing" : JSON.stringify(value);
}
