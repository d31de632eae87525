import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";

/** One wrapper, or several by name: an `OptimWrapperDict`, or any pairs of name and wrapper. */
export type Wrappers<Name extends string = string> =
  AnyOptimWrapper | Iterable<readonly [name: Name, wrapper: AnyOptimWrapper]>;

/** The name of the only wrapper. */
export const only = "";

/** The wrappers by name. @throws OptimError `invalid-wrapper` */
export function namedWrappers(wrappers: Wrappers, who: string): ReadonlyMap<string, AnyOptimWrapper> {
  const given = Object(wrappers) as object;
  if (isWrapper(given)) return new Map([[only, given]]);
  if (Symbol.iterator in given) {
    const named = new Map(wrappers as Exclude<Wrappers, AnyOptimWrapper>);
    if ([...named.values()].every(isWrapper)) return named;
  }
  return refuse("invalid-wrapper", who, "a wrapper, a dict, or pairs of name and wrapper", wrappers);
}

const isWrapper = (value: object): value is AnyOptimWrapper =>
  (value as Partial<AnyOptimWrapper> | undefined)?.kind === "optim-wrapper";

/** `generator.lr`; of the only wrapper, `lr`. */
export const nameIn = (wrapper: string, name: string): string =>
  wrapper === only ? name : `${wrapper}.${name}`;
