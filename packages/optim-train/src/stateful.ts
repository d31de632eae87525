/** Anything that a run has to go on with: random numbers, a place in the data, environments. */
export interface Stateful {
  /** A copy as of the call, or a promise of it: plain data, in which there may be typed arrays. */
  stateDict(): unknown;
  /** @throws for a state that is not its own; nothing has changed then */
  loadStateDict(state: unknown): void | Promise<void>;
}

/** Plain data as part of a run's state: `const scores = plainState<number[]>([])`, and `scores.value.push(score)`. */
export function plainState<T>(value: T): Stateful & { value: T } {
  const one = {
    value,
    stateDict: () => structuredClone(one.value),
    loadStateDict(state: unknown) {
      one.value = structuredClone(state) as T;
    },
  };
  return one;
}
