import { refuse } from "../errors.ts";
import type { AnyOptimWrapper } from "../optim-wrapper.ts";

/** One wrapper, or several by name: a dict, or pairs of name and wrapper. */
export type WrappersInput<Name extends string = string> =
  AnyOptimWrapper | Iterable<readonly [name: Name, wrapper: AnyOptimWrapper]>;

/** The wrappers in order; one alone has no name. @throws OptimError `invalid-wrapper` for anything else, and for none */
export function namedWrappers(
  who: string,
  input: WrappersInput,
): readonly (readonly [name: string | undefined, wrapper: AnyOptimWrapper])[] {
  if (isWrapper(input)) return [[undefined, input]];
  const { [Symbol.iterator]: iterate } = Object(input) as Partial<Iterable<unknown>>;
  const pairs =
    typeof iterate === "function" ? [...(input as Iterable<readonly [string, AnyOptimWrapper]>)] : [];
  if (pairs.length > 0 && pairs.every((pair) => isWrapper((Object(pair) as readonly unknown[])[1])))
    return pairs;
  return refuse("invalid-wrapper", who, "a wrapper, a dict, or pairs of name and wrapper", input);
}

function isWrapper(value: unknown): value is AnyOptimWrapper {
  return (Object(value) as Partial<AnyOptimWrapper>).kind === "optim-wrapper";
}
