import type { AnyOptimWrapper, OptimWrapperStateDict } from "@mm/optim-core";

/**
 * The present names of the parameters of a state that another program saved, or the same one earlier: tfjs numbers layers and variables
 * over the whole process, so that `dense_Dense1/kernel` of one run may be `dense_Dense3/kernel` or `dense_Dense1/kernel_1` of another, after
 * `tf.loadLayersModel` for one. Give it to a load as `rename`.
 *
 * Names are compared without their numbers. Where both sides have the same ones, equally often, those that are alike are paired in the order of
 * their numbers, which is the order in which they were made. Otherwise, and where the saved names are the present ones, every name stays as it
 * is, and the load tells what is missing.
 *
 * @param state a wrapper's, of `stateDict()` or a checkpoint
 * @param wrapper the one that will load it
 *
 * @example
 * ```ts
 * await optim.loadStateDict(state, { rename: renamed(state, optim) });
 * // Of a dict, with the state of each wrapper:
 * await dict.loadStateDict(saved, { rename: (name, key) => renamed(saved.wrappers[key], dict.get(key))(name) });
 * ```
 */
export function renamed(
  state: OptimWrapperStateDict,
  { optimizer }: Pick<AnyOptimWrapper, "optimizer">,
): (saved: string) => string {
  // The load refuses what is not a state.
  const { params } = Object((Object(state) as Partial<OptimWrapperStateDict>).optimizer) as {
    readonly params?: unknown;
  };
  const saved = Array.isArray(params) ? (params as readonly { readonly name: string }[]) : [];
  const names = pairedNames(
    saved.map(({ name }) => name),
    optimizer.parameters.map(({ name }) => name),
  );
  return (name) => names?.get(name) ?? name;
}

/** The present name of each saved one; `undefined` where they do not correspond. */
export function pairedNames(
  saved: readonly string[],
  present: readonly string[],
): ReadonlyMap<string, string> | undefined {
  const [from, to] = [inOrder(saved), inOrder(present)];
  if (from.length !== to.length) return undefined;
  const isPresent = new Set(present);
  if (saved.every((name) => isPresent.has(name))) return new Map(saved.map((name) => [name, name]));
  const alike = from.every(({ kind }, index) => kind === to[index]?.kind);
  return alike ? new Map(from.map(({ name }, index) => [name, (to[index] as NumberedName).name])) : undefined;
}

interface NumberedName {
  readonly name: string;
  /** The name without its numbers. */
  readonly kind: string;
  readonly numbers: readonly number[];
}

function inOrder(names: readonly string[]): readonly NumberedName[] {
  return names
    .map((name) => ({
      name,
      kind: name.replace(/[_\d]/g, ""),
      numbers: (name.match(/\d+/g) ?? []).map(Number),
    }))
    .sort((a, b) => (a.kind === b.kind ? byNumbers(a.numbers, b.numbers) : a.kind < b.kind ? -1 : 1));
}

function byNumbers(a: readonly number[], b: readonly number[]): number {
  for (const [index, number] of a.entries()) {
    const difference = number - (b[index] ?? -1);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
