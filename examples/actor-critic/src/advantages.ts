import { forward, type Network } from "./network.ts";
import type { Rollout } from "./rollout.ts";

/** How much a reward of the next step is worth now. */
const discount = 0.98;
/** λ of the estimator: 0 trusts the critic, 1 the rewards. */
const trace = 0.9;

/** Arrays of one number per step of a rollout. */
export interface Estimates {
  /** How much better the action was than what the critic expected. */
  readonly advantages: Float32Array;
  /** The values that the critic should have given. */
  readonly targets: Float32Array;
}

/**
 * Generalized advantage estimation (Schulman et al., arXiv:1506.02438, eq. 16), backwards through time:
 *
 *     δ = r + γ V(s′) − V(s)        V(s′) = 0 where the pole fell
 *     A = δ + γ λ A′                A′ = 0 where the episode ended
 *
 * An episode that the limit ended is worth what would have come (Pardo et al., arXiv:1712.00378). Each reward counts 1 − γ, so values
 * are between 0 and 1.
 */
export function estimate(critic: Network, rollout: Rollout): Estimates {
  const { environments, observations, nextObservations, failed, ended } = rollout;
  const values = forward(critic, observations).outputs;
  const nextValues = forward(critic, nextObservations).outputs;
  const advantages = new Float32Array(values.length);
  for (let at = values.length - 1; at >= 0; at--) {
    const worth = failed[at] === 1 ? 0 : nextValues[at]!;
    const delta = 1 - discount + discount * worth - values[at]!;
    const later = ended[at] === 1 ? 0 : (advantages[at + environments] ?? 0);
    advantages[at] = delta + discount * trace * later;
  }
  return { advantages, targets: advantages.map((advantage, at) => advantage + values[at]!) };
}
