import { createOptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, rmsprop } from "@mm/optim-rules";
import { cosine, createSchedulerDict, linear } from "@mm/optim-schedule";
import { wasmOptimizer } from "@mm/optim-wasm";
import type { Network } from "./network.ts";
import type { Settings } from "./settings.ts";

export type ActorCriticOptim = ReturnType<typeof createOptim>;

/** One rule, learning rate and clipping for the actor, others for the critic. */
export function createOptim({ actorLr, criticLr }: Settings, actor: Network, critic: Network) {
  return new OptimWrapperDict({
    actor: createOptimWrapper(wasmOptimizer(adam({ lr: actorLr, eps: 1e-5 }), actor), {
      clipGrad: { maxNorm: 0.5 },
    }),
    critic: createOptimWrapper(wasmOptimizer(rmsprop({ lr: criticLr }), critic), { gradNorm: true }),
  });
}

/** The actor's learning rate falls along a line, the critic's along half a cosine, both to 0 in `updates` updates. */
export function createSchedulers(optim: ActorCriticOptim, updates: number) {
  return createSchedulerDict(optim, {
    actor: { lr: linear({ startFactor: 1, endFactor: 0, length: updates }) },
    critic: { lr: cosine({ length: updates }) },
  });
}
