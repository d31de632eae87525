import { estimate } from "./advantages.ts";
import { policyLoss, takeBatch, valueLoss } from "./losses.ts";
import { createNetwork, type Network } from "./network.ts";
import { createOptim, createSchedulers } from "./optim.ts";
import { createRandom } from "./random.ts";
import { collect, createEnvironments } from "./rollout.ts";
import type { Settings } from "./settings.ts";

const environmentCount = 8;
/** Steps of each environment in a rollout. */
const horizon = 128;
/** How often a rollout is gone through before the next one. */
const epochs = 6;
const batchSize = 256;

export interface Metrics {
  readonly iteration: number;
  /** Of the episodes that ended in this iteration. */
  readonly returns: readonly number[];
  readonly actor: NetworkMetrics;
  readonly critic: NetworkMetrics;
}

/** Loss and gradient norm (before clipping) of the last batch, and the learning rate that comes next. */
interface NetworkMetrics {
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
}

/** @returns the trained actor */
export async function train(settings: Settings, onMetrics: (metrics: Metrics) => void): Promise<Network> {
  const random = createRandom(settings.seed, "training");
  // The actor begins undecided.
  const [actor, critic] = [createNetwork(random, 0.01), createNetwork(random, 1)];
  const optim = createOptim(settings, actor, critic);
  const updates = (settings.iterations * epochs * horizon * environmentCount) / batchSize;
  const schedulers = createSchedulers(optim, updates);
  const environments = createEnvironments(environmentCount, random);

  for (let iteration = 1; iteration <= settings.iterations; iteration++) {
    const rollout = collect(actor, environments, horizon, random);
    const estimates = estimate(critic, rollout);
    const losses = { actor: Number.NaN, critic: Number.NaN };
    for (const rows of batches()) {
      const batch = takeBatch(rollout, estimates, rows);
      const acted = optim.get("actor").updateParams(policyLoss(actor, batch), { returnLoss: true });
      const judged = optim.get("critic").updateParams(valueLoss(critic, batch), { returnLoss: true });
      schedulers.get("actor").step(acted);
      schedulers.get("critic").step(judged);
      [losses.actor, losses.critic] = [acted.loss, judged.loss];
    }
    const { actor: a, critic: c } = await optim.readMetrics();
    const lr = optim.getLr();
    onMetrics({
      iteration,
      returns: rollout.returns,
      actor: { loss: losses.actor, lr: lr["actor.lr"][0]!, gradNorm: a.gradNorm! },
      critic: { loss: losses.critic, lr: lr["critic.lr"][0]!, gradNorm: c.gradNorm! },
    });
  }
  optim.dispose();
  return actor;

  function* batches(): Generator<Uint32Array> {
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = random.permutation(horizon * environmentCount);
      for (let start = 0; start < order.length; start += batchSize)
        yield order.subarray(start, start + batchSize);
    }
  }
}
