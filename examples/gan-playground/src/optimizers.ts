import type { Networks } from "@mm-examples/gan-digits/losses";
import type { Weights } from "@mm-examples/gan-digits/models";
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { OptimWrapperDict, type OptimWrapperDictStateDict } from "@mm/optim-dict";
import { adam, adamw, lion, rmsprop, sgd } from "@mm/optim-rules";
import * as tf from "@tensorflow/tfjs-core";
import { isPlain, optimizerOf } from "./backends.ts";
import type { Controls, SideControls } from "./controls.ts";
import { type Side, sides } from "./choices.ts";

export interface Step {
  readonly updated: boolean;
  /** The loss, when asked for. The caller disposes of it. */
  readonly loss?: tf.Scalar;
}

interface SideMetrics {
  readonly lr: number;
  readonly gradNorm?: number;
  readonly lossScale?: number;
  readonly skipped?: number;
}

/** The two optimizers of a GAN: the wrappers in their dict, or tfjs's own. */
export interface GanOptimizers {
  update(side: Side, loss: () => tf.Scalar, returnLoss: boolean): Step;
  /** Puts changed controls of the same backend into force. @returns what is worth saying about it */
  apply(controls: Controls): Promise<string>;
  readMetrics(): Promise<Readonly<Record<Side, SideMetrics>>>;
  /** Absent for tfjs's own, whose state has no names. */
  stateDict?(): Promise<OptimWrapperDictStateDict>;
  dispose(): void;
}

/** With a saved state, the optimizers go on from it. */
export async function createOptimizers(
  networks: Networks,
  controls: Controls,
  state?: OptimWrapperDictStateDict,
): Promise<GanOptimizers> {
  if (isPlain(controls.backend)) return plainAdam(networks, controls);
  const optim = createDict(networks, controls);
  try {
    if (state !== undefined) await optim.loadStateDict(state);
  } catch (error) {
    optim.dispose();
    throw error;
  }
  return wrapped(networks, controls, optim);
}

function createDict({ generator, discriminator }: Networks, controls: Controls) {
  return new OptimWrapperDict({
    generator: createWrapper(generator, controls, "generator"),
    discriminator: createWrapper(discriminator, controls, "discriminator"),
  });
}

type GanDict = ReturnType<typeof createDict>;

function createWrapper(weights: Weights, controls: Controls, side: Side) {
  const optimizer = optimizerOf(controls.backend)(updateRule(controls[side]), weights);
  if (controls[side].frozen) optimizer.freeze(Object.keys(weights));
  return createOptimWrapper(optimizer, wrapperOptions(controls));
}

function updateRule({ rule, lr }: SideControls): UpdateRule {
  // 0.5 instead of 0.9: Radford et al., arXiv:1511.06434, section 4.
  if (rule === "adam") return adam({ lr, betas: [0.5, 0.999] });
  if (rule === "adamw") return adamw({ lr, betas: [0.5, 0.999] });
  if (rule === "lion") return lion({ lr });
  if (rule === "rmsprop") return rmsprop({ lr });
  return sgd({ lr, momentum: 0.5 });
}

function wrapperOptions({ clip, bound, accumulate, scaling }: Controls): OptimWrapperOptions {
  return {
    accumulativeCounts: accumulate,
    gradNorm: true,
    ...(clip === "norm" && { clipGrad: { maxNorm: bound } }),
    ...(clip === "value" && { clipGrad: { type: "value", clipValue: bound } }),
    ...(scaling && { lossScale: "dynamic" }),
  };
}

function wrapped(networks: Networks, initial: Controls, first: GanDict): GanOptimizers {
  let controls = initial;
  let optim = first;

  /** Another rule or other options: a new wrapper over the same variables, with the state where the rule is the same. */
  const rebuild = async (side: Side, next: Controls): Promise<void> => {
    const before = optim.get(side);
    before.flush();
    const after = createWrapper(networks[side], next, side);
    if (controls[side].rule === next[side].rule) {
      await after.loadStateDict(await before.stateDict(), {
        restore: { lossScaler: controls.scaling && next.scaling, counts: false },
      });
    }
    before.dispose();
    optim = new OptimWrapperDict({ ...Object.fromEntries(optim), [side]: after } as {
      readonly [S in Side]: typeof after;
    });
  };

  return {
    update: (side, loss, returnLoss) => optim.get(side).updateParams(loss, { returnLoss }),
    async apply(next) {
      const notes: string[] = [];
      const sameOptions = JSON.stringify(wrapperOptions(controls)) === JSON.stringify(wrapperOptions(next));
      for (const side of sides) {
        const newRule = controls[side].rule !== next[side].rule;
        if (newRule || !sameOptions) await rebuild(side, next);
        if (newRule) notes.push(`The ${side}'s ${next[side].rule} starts with an empty state.`);
        const { optimizer, paramGroups } = optim.get(side);
        const names = Object.keys(networks[side]);
        if (next[side].frozen) optimizer.freeze(names);
        else optimizer.unfreeze(names);
        paramGroups[0].lr = next[side].lr;
      }
      controls = next;
      return notes.join(" ");
    },
    async readMetrics() {
      const metrics = await optim.readMetrics();
      const of = (side: Side): SideMetrics => {
        const { gradNorm, lossScale, skipped } = metrics[side];
        const lr = optim.get(side).paramGroups[0].lr;
        return {
          lr,
          ...(gradNorm !== undefined && { gradNorm }),
          ...(controls.scaling && { lossScale, skipped }),
        };
      };
      return { generator: of("generator"), discriminator: of("discriminator") };
    },
    stateDict: () => optim.stateDict(),
    dispose: () => optim.dispose(),
  };
}

/** `tf.train.adam`, to compare with. Nothing about it can be changed while it runs. */
function plainAdam(networks: Networks, controls: Controls): GanOptimizers {
  const create = (side: Side) => tf.train.adam(controls[side].lr, 0.5, 0.999);
  const optimizers = { generator: create("generator"), discriminator: create("discriminator") };
  return {
    update(side, loss, returnLoss) {
      const value = optimizers[side].minimize(loss, returnLoss, Object.values(networks[side]));
      return { updated: true, ...(value !== null && { loss: value }) };
    },
    apply: async () => "",
    readMetrics: async () => ({
      generator: { lr: controls.generator.lr },
      discriminator: { lr: controls.discriminator.lr },
    }),
    dispose() {
      for (const side of sides) optimizers[side].dispose();
    },
  };
}
