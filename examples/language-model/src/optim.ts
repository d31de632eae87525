import { createOptimWrapper, type Optimizer, type OptimWrapperOptions } from "@mm/optim-core";
import { distributed } from "@mm/optim-distributed";
import { adamw, ema, muon, scheduleFreeAdamw } from "@mm/optim-rules";
import { createScheduler, linear, type Scheduler, warmupCosine, wsd } from "@mm/optim-schedule";
import { type TfjsLoss, tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import type * as tf from "@tensorflow/tfjs-core";
import type { Weights } from "./model.ts";
import { type OptimizerName, ratesOf, type Settings } from "./settings.ts";

/** The ranks of a job: a communicator. */
export type Ranks = Parameters<typeof distributed>[1];

/** One wrapper, whatever the rules of its groups: one backward, one norm to clip by, one state. */
export function createOptim(name: OptimizerName, weights: Weights, settings: Settings, ranks?: Ranks) {
  const optimizer = createOptimizer(name, groupsOf(weights), settings);
  const options: OptimWrapperOptions = {
    accumulativeCounts: settings.accumulate,
    clipGrad: { maxNorm: 1 },
  };
  return createOptimWrapper(ranks ? distributed(optimizer, ranks) : optimizer, options);
}

function createOptimizer(
  name: OptimizerName,
  { hidden, head, rest }: Groups,
  settings: Settings,
): Optimizer<TfjsLoss, tf.Scalar> {
  const betas = [0.9, 0.99] as const;
  // With 1e-8, the last bits of a gradient that is all but 0 decide how far its weight goes, and they depend on how ranks divide a sum. 1e-5 is the eps of
  // Llama 2 (Touvron et al., arXiv:2307.09288, section 2.2).
  const eps = 1e-5;
  const decay = { weightDecay: 0.1 };
  const { lr, muonLr } = ratesOf(name, settings);
  if (name === "schedule-free") {
    const rule = scheduleFreeAdamw({ lr, betas, eps, warmupSteps: warmup(settings) });
    return tfjsOptimizer(rule, [
      { name: "hidden", params: hidden, ...decay },
      { name: "head", params: head, ...decay },
      { name: "rest", params: rest },
    ]);
  }
  const rule = ema(adamw({ lr, betas, eps, weightDecay: 0 }), average);
  return tfjsOptimizer(rule, [
    name === "muon"
      ? { name: "hidden", params: hidden, rule: ema(muon({ lr: muonLr, ...decay }), average) }
      : { name: "hidden", params: hidden, ...decay },
    { name: "head", params: head, ...decay },
    { name: "rest", params: rest },
  ]);
}

/** The weights that a model is judged and sampled with: an average over some 20 steps. */
const average = { emaDecay: 0.95, emaWarmup: 5 };

interface Groups {
  /** The matrices between two layers, which Muon is for. */
  readonly hidden: Weights;
  readonly head: Weights;
  /** Embeddings, positions and gains, which do not decay. */
  readonly rest: Weights;
}

export function groupsOf(weights: Weights): Groups {
  const those = (belongs: (name: string, rank: number) => boolean): Weights =>
    Object.fromEntries(Object.entries(weights).filter(([name, { rank }]) => belongs(name, rank)));
  const isHidden = (name: string, rank: number): boolean => name.includes(".") && rank === 2;
  return {
    hidden: those(isHidden),
    head: those((name) => name === "head"),
    rest: those((name, rank) => name !== "head" && !isHidden(name, rank)),
  };
}

export type LanguageOptim = ReturnType<typeof createOptim>;

/** Drives the rates of all groups. A rule without a schedule needs none. */
export function createSchedule(name: OptimizerName, optim: LanguageOptim, settings: Settings): Scheduler {
  const { steps: length, schedule = "decay" } = settings;
  const rising = warmup(settings);
  const rise = { warmup: rising, length, startFactor: 1 / (rising + 1) };
  const shapes = {
    decay: () => wsd({ ...rise, decay: Math.max(1, Math.floor(length / 2)) }),
    level: () => linear({ startFactor: rise.startFactor, length: Math.max(1, rising) }),
    cosine: () => warmupCosine(rise),
  };
  return createScheduler(optim, name === "schedule-free" ? {} : { lr: shapes[schedule]() });
}

/** Rates and schedule of these settings from now on, as if they had held from the beginning. @returns what drives them in the place of `before` */
export function retune(
  name: OptimizerName,
  optim: LanguageOptim,
  before: Scheduler,
  settings: Settings,
): Scheduler {
  const counts = before.stateDict();
  before.dispose();
  const { lr, muonLr } = ratesOf(name, settings);
  for (const group of optim.paramGroups) group.lr = name === "muon" && group.name === "hidden" ? muonLr : lr;
  if (optim.baseParamSettings) optim.baseParamSettings.lr = lr;
  const schedule = createSchedule(name, optim, settings);
  schedule.loadStateDict(counts, { restore: { schedules: false, initial: false } });
  return schedule;
}

const warmup = ({ steps }: Settings): number => Math.min(50, Math.floor(steps / 6));
