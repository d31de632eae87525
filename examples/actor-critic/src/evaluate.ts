import { episodeLimit, firstState, isFailure, nextState, observe } from "./cart-pole.ts";
import { forward, type Network } from "./network.ts";
import { createRandom } from "./random.ts";

/** Returns of `episodes` episodes in which the actor does what it deems best, from first states that training has not seen. */
export function evaluate(actor: Network, episodes: number, seed: number): number[] {
  const random = createRandom(seed, "evaluation");
  return Array.from({ length: episodes }, () => {
    let state = firstState(random);
    let steps = 0;
    while (steps < episodeLimit && !isFailure(state)) {
      const [logit = 0] = forward(actor, Float32Array.from(observe(state))).outputs;
      state = nextState(state, logit > 0 ? 1 : 0);
      steps++;
    }
    return steps;
  });
}
