import type { WasmLoss } from "@mm/optim-wasm";
import { observationSize } from "./cart-pole.ts";
import type { Estimates } from "./advantages.ts";
import { mean } from "./mean.ts";
import { backward, forward, type Network } from "./network.ts";
import { entropy, logProbability, probability } from "./policy.ts";
import type { Rollout } from "./rollout.ts";

/** How far the probability of an action may move in one update before nothing more is gained by it. */
const clipRange = 0.2;
const entropyWeight = 0.01;

export type NetworkLoss = WasmLoss<keyof Network>;

/** Some steps of a rollout, in a row of their own. */
export interface Batch {
  readonly observations: Float32Array;
  readonly actions: Uint8Array;
  readonly logProbabilities: Float32Array;
  /** With mean 0 and deviation 1. */
  readonly advantages: Float32Array;
  readonly targets: Float32Array;
}

export function takeBatch(rollout: Rollout, { advantages, targets }: Estimates, rows: Uint32Array): Batch {
  const pick = <A extends Float32Array | Uint8Array>(from: A): A =>
    from.slice(0, rows.length).map((_, i) => from[rows[i]!]!) as A;
  const observations = new Float32Array(rows.length * observationSize);
  rows.forEach((row, i) => {
    const from = row * observationSize;
    observations.set(rollout.observations.subarray(from, from + observationSize), i * observationSize);
  });
  return {
    observations,
    actions: pick(rollout.actions),
    logProbabilities: pick(rollout.logProbabilities),
    advantages: standardize(pick(advantages)),
    targets: pick(targets),
  };
}

/**
 * Proximal policy optimization (Schulman et al., arXiv:1707.06347, eq. 7 and 9), the mean over the batch of
 *
 *     −min(r A, clip(r, 1 − ε, 1 + ε) A) − c H        r = π(a) ÷ π(a) when it acted
 */
export function policyLoss(actor: Network, batch: Batch): NetworkLoss {
  return ({ grad, scale }) => {
    const { actions, logProbabilities, advantages } = batch;
    const activations = forward(actor, batch.observations);
    const count = actions.length;
    let sum = 0;
    const gradients = activations.outputs.map((logit, i) => {
      const [action, advantage] = [actions[i]!, advantages[i]!];
      const p = probability(logit);
      const ratio = Math.exp(logProbability(logit, action) - logProbabilities[i]!);
      const clipped = Math.min(Math.max(ratio, 1 - clipRange), 1 + clipRange);
      const gain = Math.min(ratio * advantage, clipped * advantage);
      sum -= gain + entropyWeight * entropy(logit);
      // Where the clipped term is the smaller one, it does not depend on the logit.
      const gainSlope = ratio * advantage <= clipped * advantage ? ratio * advantage * (action - p) : 0;
      const entropySlope = -logit * p * (1 - p);
      return (-scale / count) * (gainSlope + entropyWeight * entropySlope);
    });
    backward(actor, activations, gradients, grad);
    return sum / count;
  };
}

/** Half the mean square of what the critic errs by. */
export function valueLoss(critic: Network, { observations, targets }: Batch): NetworkLoss {
  return ({ grad, scale }) => {
    const activations = forward(critic, observations);
    const errors = activations.outputs.map((value, i) => value - targets[i]!);
    const count = errors.length;
    backward(
      critic,
      activations,
      errors.map((error) => (scale / count) * error),
      grad,
    );
    return mean(errors.map((error) => error ** 2)) / 2;
  };
}

function standardize(values: Float32Array): Float32Array {
  const centre = mean(values);
  const deviation = Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
  return values.map((value) => (value - centre) / (deviation + 1e-8));
}
