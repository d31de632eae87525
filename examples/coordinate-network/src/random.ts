import type { Stateful } from "@mm/optim-train";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus, xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** The same numbers for the same seed, and after a resume the same as without a stop. */
export interface Random extends Stateful {
  /** A whole number, 0 ≤ n < `end`. */
  integer(end: number): number;
  /** `count` independent standard normals. */
  normals(count: number): Float32Array;
}

export function createRandom(seed: number): Random {
  let generator = xoroshiro128plus(seed);
  return {
    integer: (end) => uniformInt(generator, 0, end - 1),
    // Box–Muller: two uniform numbers give a normal one. 1 − u is above 0, where the logarithm is finite.
    normals: (count) =>
      Float32Array.from({ length: count }, () => {
        const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator)));
        return radius * Math.cos(2 * Math.PI * uniformFloat64(generator));
      }),
    stateDict: () => generator.getState(),
    loadStateDict(state) {
      generator = xoroshiro128plusFromState(state as readonly number[]);
    },
  };
}
