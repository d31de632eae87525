import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, adamw, ema, sgd } from "@mm/optim-rules";
import { createSchedulerDict, type SchedulerDict } from "@mm/optim-schedule";
import type { Digits } from "./digits.ts";
import { createFrames, type Frames } from "./frames.ts";
import { createDiscriminator, createGenerator, disposeWeights, type Weights } from "./models.ts";
import { buildOptim } from "./optim-config.ts";
import { createRandom, type Random } from "./random.ts";
import { optimizerOn, type Ranks } from "./ranks.ts";
import type { Settings } from "./settings.ts";

function createOptim(settings: Settings, generator: Weights, discriminator: Weights, ranks?: Ranks) {
  const { accumulate, clipNorm, clipValue, generatorLr, discriminatorLr } = settings;
  const options: OptimWrapperOptions = {
    accumulativeCounts: accumulate,
    gradNorm: true,
    ...(clipNorm !== undefined && { clipGrad: { maxNorm: clipNorm } }),
    ...(clipValue !== undefined && { clipGrad: { type: "value", clipValue } }),
  };
  const optimizer = optimizerOn(ranks);
  // Samples are drawn from a moving average of the generator, which is steadier than its weights.
  const averaged = ema(updateRule(settings, generatorLr), { emaDecay: 0.995 });
  return new OptimWrapperDict({
    generator: createOptimWrapper(optimizer(averaged, generator), options),
    discriminator: createOptimWrapper(
      optimizer(updateRule(settings, discriminatorLr), discriminator),
      options,
    ),
  });
}

export type GanOptim = ReturnType<typeof createOptim>;

/** From a configuration file, or from the options of the command line, which know no schedules. */
function prepareOptim(settings: Settings, generator: Weights, discriminator: Weights, ranks?: Ranks) {
  if (settings.config === undefined) {
    const optim = createOptim(settings, generator, discriminator, ranks);
    return { optim, schedulers: createSchedulerDict(optim, {}) };
  }
  const { optim, schedulers } = buildOptim(settings.config, generator, discriminator, ranks);
  // Of any of the rules: what all have in common is all that is used.
  return { optim: optim as object as GanOptim, schedulers };
}

function updateRule({ rule, momentum, weightDecay }: Settings, lr: number): UpdateRule {
  const betas = [momentum, 0.999] as const;
  if (rule === "adam") return adam({ lr, betas, weightDecay });
  if (rule === "adamw") return adamw({ lr, betas, weightDecay });
  return sgd({ lr, momentum, weightDecay });
}

/** Two networks, their optimizers, and all else that a training run changes. */
export interface Gan {
  readonly settings: Settings;
  readonly digits: Digits;
  readonly random: Random;
  readonly generator: Weights;
  readonly discriminator: Weights;
  readonly frames: Frames;
  readonly optim: GanOptim;
  readonly schedulers: SchedulerDict<"generator" | "discriminator">;
  /** Those of the job, where there are several. */
  readonly ranks: Ranks | undefined;
}

export function createGan(settings: Settings, digits: Digits, ranks?: Ranks): Gan {
  const random = createRandom(settings.seed, "training");
  const generator = createGenerator(random);
  const discriminator = createDiscriminator(random);
  const optimizers = prepareOptim(settings, generator, discriminator, ranks);
  return {
    settings,
    digits,
    random,
    generator,
    discriminator,
    frames: createFrames(settings),
    ranks,
    ...optimizers,
  };
}

/** Runs something while the generator is the average. */
export const withAverage = <T>({ optim }: Gan, work: () => Promise<T>): Promise<T> =>
  optim.get("generator").evaluating(work);

export function disposeGan({ optim, generator, discriminator }: Gan): void {
  optim.dispose();
  for (const weights of [generator, discriminator]) disposeWeights(weights);
}
