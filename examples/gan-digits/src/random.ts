import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus, xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** A stream of random numbers whose whole state is a few numbers, so that a resumed run draws what an uninterrupted one draws. */
export interface Random {
  /** A whole number, 0 ≤ n < `end`. */
  integer(end: number): number;
  /** `count` independent standard normals. */
  normals(count: number): Float32Array;
  state(): readonly number[];
  /** Goes on from a state. */
  restore(state: readonly number[]): void;
}

/**
 * Streams of one seed: `training` draws weights and batches and is saved; the others are drawn anew from the seed wherever they are
 * needed, so they depend on nothing that happened before.
 */
export type Stream = "training" | "samples" | "quality";

const streams: readonly Stream[] = ["training", "samples", "quality"];

export function createRandom(seed: number, stream: Stream): Random {
  const generator = xoroshiro128plus(seed);
  // A jump is 2⁶⁴ numbers long: no two streams meet.
  for (let jumps = 0; jumps <= streams.indexOf(stream); jumps++) generator.jump();
  return toRandom(generator);
}

export function restoreRandom(state: readonly number[]): Random {
  return toRandom(xoroshiro128plusFromState(state));
}

function toRandom(begun: ReturnType<typeof xoroshiro128plus>): Random {
  let generator = begun;
  return {
    integer: (end) => uniformInt(generator, 0, end - 1),
    normals(count) {
      const values = new Float32Array(count);
      // Box–Muller: two uniform numbers give two normal ones. 1 − u is above 0, where the logarithm is finite.
      for (let i = 0; i < count; i += 2) {
        const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator)));
        const angle = 2 * Math.PI * uniformFloat64(generator);
        values[i] = radius * Math.cos(angle);
        if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
      }
      return values;
    },
    state: () => generator.getState(),
    restore(state) {
      generator = xoroshiro128plusFromState(state);
    },
  };
}
