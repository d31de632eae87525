import type { AnyOptimWrapper } from "@mm/optim-core";
import { namedWrappers as pairsOf, type WrappersInput } from "@mm/optim-core/backend";

/** One wrapper, or several by name: an `OptimWrapperDict`, or any pairs of name and wrapper. */
export type Wrappers<Name extends string = string> = WrappersInput<Name>;

/** The name of the only wrapper. */
export const only = "";

/** The wrappers by name. @throws OptimError `invalid-wrapper` */
export function namedWrappers(wrappers: Wrappers, who: string): ReadonlyMap<string, AnyOptimWrapper> {
  return new Map(pairsOf(who, wrappers).map(([name = only, wrapper]) => [name, wrapper]));
}

/** `generator.lr`; of the only wrapper, `lr`. */
export const nameIn = (wrapper: string, name: string): string =>
  wrapper === only ? name : `${wrapper}.${name}`;
