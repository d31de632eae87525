import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";

/** One wrapper, or several by name: a dict, or pairs of name and wrapper. */
export type Wrappers<Name extends string = string> =
  AnyOptimWrapper | Iterable<readonly [name: Name, wrapper: AnyOptimWrapper]>;

const isWrapper = (wrappers: Wrappers): wrappers is AnyOptimWrapper =>
  (wrappers as Partial<AnyOptimWrapper> | null | undefined)?.kind === "optim-wrapper";

/** Pairs, without a name for one wrapper. @throws OptimError `invalid-wrapper` */
export function pairs(
  wrappers: Wrappers,
  who: string,
): readonly (readonly [name: string | undefined, wrapper: AnyOptimWrapper])[] {
  if (isWrapper(wrappers)) return [[undefined, wrappers]];
  if (typeof (Object(wrappers) as Iterable<unknown>)[Symbol.iterator] !== "function") {
    refuse("invalid-wrapper", who, "a wrapper, a dict, or pairs of name and wrapper", wrappers);
  }
  return [...wrappers];
}
