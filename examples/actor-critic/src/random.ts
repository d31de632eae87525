import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus, xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** A stream of random numbers; the same seed gives the same numbers everywhere. */
export interface Random {
  /** 0 ≤ x < 1. */
  uniform(): number;
  normal(): number;
  /** The whole numbers 0 ≤ i < `count`, in any order. */
  permutation(count: number): Uint32Array;
  state(): readonly number[];
  /** Goes on from a state. */
  restore(state: readonly number[]): void;
}

/** Streams of one seed: how the trained policy is judged does not depend on how long it was trained. */
export type Stream = "training" | "evaluation";

const streams: readonly Stream[] = ["training", "evaluation"];

export function createRandom(seed: number, stream: Stream): Random {
  let generator = xoroshiro128plus(seed);
  // A jump is 2⁶⁴ numbers long: no two streams meet.
  for (let jumps = 0; jumps <= streams.indexOf(stream); jumps++) generator.jump();
  const uniform = () => uniformFloat64(generator);
  return {
    uniform,
    // Box–Muller. 1 − u is above 0, where the logarithm is finite.
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    permutation(count) {
      const order = Uint32Array.from({ length: count }, (_, i) => i);
      for (let i = count - 1; i > 0; i--) {
        const j = uniformInt(generator, 0, i);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      return order;
    },
    state: () => generator.getState(),
    restore(state) {
      generator = xoroshiro128plusFromState(state);
    },
  };
}
