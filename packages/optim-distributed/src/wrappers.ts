import type { AnyOptimWrapper } from "@mm/optim-core";
import { namedWrappers, refuse, type WrappersInput } from "@mm/optim-core/backend";

/** A wrapper, a dict, or any pairs of name and wrapper. */
export type OptimWrappers = WrappersInput;

export type Member = readonly [name: string, wrapper: AnyOptimWrapper];

/** The wrappers in order; one alone is called `"optimizer"`. @throws OptimError `invalid-wrapper` */
export function membersOf(wrappers: OptimWrappers, who: string): readonly Member[] {
  return namedWrappers(who, wrappers).map(([name = "optimizer", wrapper]) => [name, wrapper]);
}

/** @throws OptimError `invalid-wrapper` */
export function requireWrapper(wrapper: AnyOptimWrapper, who: string): void {
  if ((Object(wrapper) as { readonly kind?: unknown }).kind === "optim-wrapper") return;
  refuse("invalid-wrapper", who, "an optimizer wrapper", wrapper);
}
