import { memo } from "@mm/optim-core/backend";

/**
 * Members with the same keys, in lists; lists with the same first key are neighbours. Everything keeps its order otherwise.
 *
 * @param keysOf what two members of a list have in common, compared by identity
 */
export function batched<M>(members: readonly M[], keysOf: (member: M) => readonly unknown[]): M[][] {
  const ids = new Map<unknown, number>();
  const id = (key: unknown): number => memo(ids, key, () => ids.size + 1);
  const lists = new Map<unknown, Map<string, M[]>>();
  for (const member of members) {
    const keys = keysOf(member);
    const neighbours = memo(lists, keys[0], () => new Map<string, M[]>());
    memo(neighbours, keys.map(id).join(), (): M[] => []).push(member);
  }
  return [...lists.values()].flatMap((neighbours) => [...neighbours.values()]);
}
