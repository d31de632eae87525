import { type AnyOptimWrapper, isOptimError, OptimError } from "@mm/optim-core";

export type Named<T> = readonly [name: string, value: T];

type Wrappers = Iterable<Named<AnyOptimWrapper>>;

/**
 * Asks all wrappers in one tick and waits for all. Where some refuse, one error tells of all, so that a report that a device makes only once is
 * not lost behind another's.
 */
export async function gather<T extends object>(
  wrappers: Wrappers,
  ask: (wrapper: AnyOptimWrapper, name: string) => Promise<T>,
): Promise<readonly Named<T>[]> {
  const members = [...wrappers];
  const settled = await Promise.allSettled(
    members.map(async ([name, wrapper]) => [name, await ask(wrapper, name)] as const),
  );
  refuseAll(
    settled.flatMap((one, index) =>
      one.status === "rejected"
        ? [[`${members[index]?.[0] as string}.`, one.reason as unknown] as const]
        : [],
    ),
  );
  return settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
}

/**
 * The same, of calls that do not wait. Where some refuse, the answers of the others are disposed.
 *
 * @param errors the dict's own, without a prefix
 */
export function gatherSync<T extends { dispose(): void }>(
  wrappers: Wrappers,
  ask: (wrapper: AnyOptimWrapper, name: string) => T,
  errors: Named<unknown>[] = [],
): readonly Named<T>[] {
  const answers: Named<T>[] = [];
  for (const [name, wrapper] of wrappers) {
    try {
      answers.push([name, ask(wrapper, name)]);
    } catch (error) {
      errors.push([`${name}.`, error]);
    }
  }
  if (errors.length > 0) for (const [, answer] of answers) answer.dispose();
  refuseAll(errors);
  return answers;
}

/** One error for all: the code of the first, the messages of all, and their names prefixed with those of the wrappers. */
function refuseAll(errors: readonly Named<unknown>[]): void {
  const first = errors[0];
  if (first === undefined) return;
  for (const [, error] of errors) if (!isOptimError(error)) throw error;
  const refusals = errors as readonly Named<OptimError>[];
  const { code } = first[1] as OptimError;
  throw new OptimError(code, refusals.map(([prefix, { message }]) => prefix + message).join("\n"), {
    cause: first[1],
    missing: prefixed(refusals, "missing"),
    unexpected: prefixed(refusals, "unexpected"),
    mismatched: prefixed(refusals, "mismatched"),
  });
}

/** `w1` under the prefix `generator.` is `generator.w1`. */
export function prefixed<Key extends string>(
  answers: readonly Named<{ readonly [K in Key]?: readonly string[] | undefined }>[],
  key: Key,
): readonly string[] {
  return answers.flatMap(([prefix, answer]) => answer[key]?.map((inner) => prefix + inner) ?? []);
}
