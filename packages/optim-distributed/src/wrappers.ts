import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";

/** A wrapper, a dict, or any pairs of name and wrapper. */
export type OptimWrappers = AnyOptimWrapper | Iterable<readonly [name: string, wrapper: AnyOptimWrapper]>;

export type Member = readonly [name: string, wrapper: AnyOptimWrapper];

/** The wrappers in order; one alone is called `"optimizer"`. @throws OptimError `invalid-wrapper` */
export function membersOf(wrappers: OptimWrappers, who: string): readonly Member[] {
  const given = Object(wrappers) as { readonly kind?: unknown; readonly [Symbol.iterator]?: unknown };
  if (given.kind === "optim-wrapper") return [["optimizer", wrappers as AnyOptimWrapper]];
  if (typeof given[Symbol.iterator] !== "function") return refuseWrappers(who, wrappers);
  const members = [...(wrappers as Iterable<Member>)];
  if (members.length === 0) refuseWrappers(who, wrappers);
  for (const [, wrapper] of members) requireWrapper(wrapper, who);
  return members;
}

/** @throws OptimError `invalid-wrapper` */
export function requireWrapper(wrapper: AnyOptimWrapper, who: string): void {
  if ((Object(wrapper) as { readonly kind?: unknown }).kind !== "optim-wrapper") refuseWrappers(who, wrapper);
}

function refuseWrappers(who: string, received: unknown): never {
  return refuse(
    "invalid-wrapper",
    who,
    "an optimizer wrapper, a dict of them, or pairs of name and wrapper",
    received,
  );
}
