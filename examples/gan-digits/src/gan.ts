import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, adamw, sgd } from "@mm/optim-rules";
import { createSchedulerDict, type SchedulerDict } from "@mm/optim-schedule";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import type { Digits } from "./digits.ts";
import { createFrames, type Frames } from "./frames.ts";
import {
  createAverage,
  createDiscriminator,
  createGenerator,
  disposeWeights,
  type Weights,
} from "./models.ts";
import { buildOptim } from "./optim-config.ts";
import { createRandom, type Random } from "./random.ts";
import type { Settings } from "./settings.ts";

function createOptim(settings: Settings, generator: Weights, discriminator: Weights) {
  const { accumulate, clipNorm, clipValue, generatorLr, discriminatorLr } = settings;
  const options: OptimWrapperOptions = {
    accumulativeCounts: accumulate,
    gradNorm: true,
    ...(clipNorm !== undefined && { clipGrad: { maxNorm: clipNorm } }),
    ...(clipValue !== undefined && { clipGrad: { type: "value", clipValue } }),
  };
  return new OptimWrapperDict({
    generator: createOptimWrapper(tfjsOptimizer(updateRule(settings, generatorLr), generator), options),
    discriminator: createOptimWrapper(
      tfjsOptimizer(updateRule(settings, discriminatorLr), discriminator),
      options,
    ),
  });
}

export type GanOptim = ReturnType<typeof createOptim>;

/** From a configuration file, or from the options of the command line, which know no schedules. */
function prepareOptim(settings: Settings, generator: Weights, discriminator: Weights) {
  if (settings.config === undefined) {
    const optim = createOptim(settings, generator, discriminator);
    return { optim, schedulers: createSchedulerDict(optim, {}) };
  }
  const { optim, schedulers } = buildOptim(settings.config, generator, discriminator);
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
  /** The moving average of the generator that samples are drawn from. */
  readonly average: Weights;
  readonly frames: Frames;
  readonly optim: GanOptim;
  readonly schedulers: SchedulerDict<"generator" | "discriminator">;
}

export function createGan(settings: Settings, digits: Digits): Gan {
  const random = createRandom(settings.seed, "training");
  const generator = createGenerator(random);
  const discriminator = createDiscriminator(random);
  const average = createAverage(generator);
  const optimizers = prepareOptim(settings, generator, discriminator);
  return {
    settings,
    digits,
    random,
    generator,
    discriminator,
    average,
    frames: createFrames(settings),
    ...optimizers,
  };
}

export function disposeGan({ optim, generator, discriminator, average }: Gan): void {
  optim.dispose();
  for (const weights of [generator, discriminator, average]) disposeWeights(weights);
}
