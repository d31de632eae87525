import {
  type Action,
  episodeLimit,
  firstState,
  isFailure,
  nextState,
  observationSize,
  observe,
  type State,
} from "./cart-pole.ts";
import { forward, type Network } from "./network.ts";
import { logProbability, probability } from "./policy.ts";
import type { Random } from "./random.ts";

/** Cart-poles that go on from rollout to rollout; each starts anew when its episode ends. */
export interface Environments {
  readonly states: State[];
  /** Steps of the episode in progress. */
  readonly steps: number[];
}

export function createEnvironments(count: number, random: Random): Environments {
  const states = Array.from({ length: count }, () => firstState(random));
  return { states, steps: states.map(() => 0) };
}

/** `horizon` steps of every environment. Arrays are [horizon × environments], all environments of one step side by side. */
export interface Rollout {
  readonly environments: number;
  /** [horizon × environments, observationSize] */
  readonly observations: Float32Array;
  /** The state after the action, before any new start. */
  readonly nextObservations: Float32Array;
  readonly actions: Uint8Array;
  readonly logProbabilities: Float32Array;
  /** 1 where the pole fell: nothing of worth comes after. */
  readonly failed: Uint8Array;
  /** 1 where the episode ended, by a fall or by the limit. */
  readonly ended: Uint8Array;
  /** Sums of the rewards of the episodes that ended. */
  readonly returns: readonly number[];
}

/** Lets the actor act, by chance as its probabilities are. */
export function collect(
  actor: Network,
  environments: Environments,
  horizon: number,
  random: Random,
): Rollout {
  const { states, steps } = environments;
  const count = states.length;
  const size = horizon * count;
  const returns: number[] = [];
  const rollout = {
    environments: count,
    observations: new Float32Array(size * observationSize),
    nextObservations: new Float32Array(size * observationSize),
    actions: new Uint8Array(size),
    logProbabilities: new Float32Array(size),
    failed: new Uint8Array(size),
    ended: new Uint8Array(size),
    returns,
  };
  for (let step = 0; step < horizon; step++) {
    const observed = Float32Array.from(states.flatMap(observe));
    const logits = forward(actor, observed).outputs;
    rollout.observations.set(observed, step * count * observationSize);
    states.forEach((state, environment) => {
      const at = step * count + environment;
      const logit = logits[environment]!;
      const action: Action = random.uniform() < probability(logit) ? 1 : 0;
      const next = nextState(state, action);
      const failed = isFailure(next);
      const length = (steps[environment] ?? 0) + 1;
      const ended = failed || length === episodeLimit;
      rollout.actions[at] = action;
      rollout.logProbabilities[at] = logProbability(logit, action);
      rollout.nextObservations.set(observe(next), at * observationSize);
      rollout.failed[at] = Number(failed);
      rollout.ended[at] = Number(ended);
      if (ended) returns.push(length);
      states[environment] = ended ? firstState(random) : next;
      steps[environment] = ended ? 0 : length;
    });
  }
  return rollout;
}
