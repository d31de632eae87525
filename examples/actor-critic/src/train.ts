import { createRun, plainState, type Run, type RunOptions, type Stateful } from "@mm/optim-train";
import { estimate } from "./advantages.ts";
import { policyLoss, takeBatch, valueLoss } from "./losses.ts";
import { mean } from "./mean.ts";
import { createNetwork, type Network } from "./network.ts";
import { type ActorCriticOptim, createOptim, createSchedulers } from "./optim.ts";
import { createRandom, type Random } from "./random.ts";
import { collect, createEnvironments, type Environments } from "./rollout.ts";
import type { Settings } from "./settings.ts";

const environmentCount = 8;
/** Steps of each environment in a rollout. */
const horizon = 128;
/** How often a rollout is gone through before the next one. */
const epochs = 6;
const batchSize = 256;

/** The returns of the episodes that ended in an iteration. */
export interface Returns {
  readonly iteration: number;
  readonly returns: readonly number[];
}

/** All that training changes. */
export interface Learner {
  readonly settings: Settings;
  readonly random: Random;
  readonly actor: Network;
  readonly critic: Network;
  readonly optim: ActorCriticOptim;
  readonly schedulers: ReturnType<typeof createSchedulers>;
  readonly environments: Stateful & { value: Environments };
  readonly returns: Stateful & { value: Returns[] };
}

export function createLearner(settings: Settings): Learner {
  const random = createRandom(settings.seed, "training");
  // The actor begins undecided.
  const [actor, critic] = [createNetwork(random, 0.01), createNetwork(random, 1)];
  const optim = createOptim(settings, actor, critic);
  const updates = (settings.iterations * epochs * horizon * environmentCount) / batchSize;
  return {
    settings,
    random,
    actor,
    critic,
    optim,
    schedulers: createSchedulers(optim, updates),
    environments: plainState(createEnvironments(environmentCount, random)),
    returns: plainState<Returns[]>([]),
  };
}

/** A run that trains: what it saves, and what it goes on with. Every iteration is logged. */
export function createTraining(
  { optim, schedulers, settings, random, environments, returns }: Learner,
  {
    to = [],
    ...options
  }: Pick<RunOptions, "signal" | "store" | "saveEvery"> & Pick<NonNullable<RunOptions["log"]>, "to"> = {},
): Run<ActorCriticOptim> {
  return createRun({
    optim,
    schedulers,
    until: settings.iterations,
    info: { program: "actor-critic", settings },
    state: {
      random: {
        stateDict: () => random.state(),
        loadStateDict: (state) => random.restore(state as readonly number[]),
      },
      environments,
      returns,
    },
    log: { every: 1, to },
    ...options,
  });
}

/** Trains until all iterations are done, or the run is stopped. */
export async function train(
  { actor, critic, environments, returns, random }: Learner,
  run: Run<ActorCriticOptim>,
): Promise<void> {
  for await (const iteration of run) {
    const rollout = collect(actor, environments.value, horizon, random);
    const estimates = estimate(critic, rollout);
    for (const rows of batches(random)) {
      const batch = takeBatch(rollout, estimates, rows);
      run.update("actor", policyLoss(actor, batch));
      run.update("critic", valueLoss(critic, batch));
    }
    returns.value.push({ iteration, returns: rollout.returns });
    if (rollout.returns.length > 0) run.log({ return: mean(rollout.returns) });
  }
}

function* batches(random: Random): Generator<Uint32Array> {
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = random.permutation(horizon * environmentCount);
    for (let start = 0; start < order.length; start += batchSize)
      yield order.subarray(start, start + batchSize);
  }
}
