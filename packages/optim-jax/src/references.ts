import { tree, type numpy as np } from "@jax-js/jax";

/**
 * Runs what takes references to arrays. Where it throws, those that it took and did not pass on are dropped: what was recorded until then holds them,
 * and nothing would ever release it.
 */
export function guardReferences<T>(arrays: readonly np.Array[], run: () => T): T {
  const references = arrays.map(({ refCount }) => refCount);
  try {
    return run();
  } catch (error) {
    for (const [index, array] of arrays.entries())
      while (array.refCount > (references[index] as number)) array.dispose();
    throw error;
  }
}

/** The arrays in arguments of a function of jax-js. */
export function arraysIn(args: readonly Argument[]): np.Array[] {
  return tree.leaves(args as np.Array[]);
}

/** Another reference to each of them. */
export function referencesTo(args: readonly Argument[]): readonly Argument[] {
  return tree.ref(args as np.Array[]);
}

/** The arguments of a function under jit: arrays, and objects and arrays of them. */
export type Argument = np.Array | readonly Argument[] | { readonly [name: string]: Argument };
