import { type AnyOptimWrapper, isOptimError, OptimError } from "@mm/optim-core";

export type Named<T> = readonly [name: string, value: T];

/**
 * Asks all wrappers in one tick and waits for all. Where some refuse, what the others gave is disposed (loads that are staged), and
 * one error tells of all: the code of the first, the messages of all, and their names prefixed with those of the wrappers. What a device
 * reports only once is not lost behind another's error. `errors` are those of the dict itself, without a prefix.
 */
export async function gather<T extends object>(
  wrappers: Iterable<Named<AnyOptimWrapper>>,
  ask: (wrapper: AnyOptimWrapper, name: string) => Promise<T>,
  errors: Named<OptimError>[] = [],
): Promise<readonly Named<T>[]> {
  const answers: Named<T>[] = [];
  await Promise.all(
    [...wrappers].map(async ([name, wrapper], index) => {
      try {
        answers[index] = [name, await ask(wrapper, name)];
      } catch (error) {
        errors.push([`${name}.`, error as OptimError]);
      }
    }),
  );
  if (!errors[0]) return answers;
  // forEach passes the holes of those that refused.
  answers.forEach(([, answer]: Named<{ dispose?(): void }>) => answer.dispose?.());
  for (const [, error] of errors as Named<unknown>[]) if (!isOptimError(error)) throw error;
  const cause = errors[0][1];
  throw new OptimError(cause.code, errors.map(([prefix, { message }]) => prefix + message).join("\n"), {
    cause,
    missing: prefixed(errors, "missing"),
    unexpected: prefixed(errors, "unexpected"),
    mismatched: prefixed(errors, "mismatched"),
  });
}

/** `w1` under the prefix `generator.` is `generator.w1`. */
export function prefixed<Key extends string>(
  answers: readonly Named<{ readonly [K in Key]?: readonly string[] | undefined }>[],
  key: Key,
): readonly string[] {
  return answers.flatMap(([prefix, answer]) => answer[key]?.map((inner) => prefix + inner) ?? []);
}
