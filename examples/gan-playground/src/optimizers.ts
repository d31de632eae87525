import type { Networks } from "@mm-examples/gan-digits/losses";
import type { Weights } from "@mm-examples/gan-digits/models";
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { OptimWrapperDict, type OptimWrapperDictStateDict } from "@mm/optim-dict";
import { adam, adamw, ema, lion, rmsprop, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import type { Controls, SideControls } from "./controls.ts";
import { type Side, sides } from "./choices.ts";

/** The two wrappers of a GAN in their dict. */
export type GanOptim = ReturnType<typeof createDict>;

/** With a saved state, the optimizers go on from it. */
export async function createOptim(
  networks: Networks,
  controls: Controls,
  state?: OptimWrapperDictStateDict,
): Promise<GanOptim> {
  const optim = createDict(networks, controls);
  try {
    if (state !== undefined) await optim.loadStateDict(state);
    return optim;
  } catch (error) {
    optim.dispose();
    throw error;
  }
}

function createDict({ generator, discriminator }: Networks, controls: Controls) {
  return new OptimWrapperDict({
    generator: createWrapper(generator, controls, "generator"),
    discriminator: createWrapper(discriminator, controls, "discriminator"),
  });
}

function createWrapper(weights: Weights, controls: Controls, side: Side) {
  const rule = updateRule(controls[side]);
  // Samples are drawn from a moving average of the generator, which is steadier than its weights.
  const optimizer = tfjsOptimizer(side === "generator" ? ema(rule, { emaDecay: 0.995 }) : rule, weights);
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

export interface Applied {
  readonly optim: GanOptim;
  /** A sentence for the page, or none. */
  readonly note: string;
}

/** Puts changed controls of the same backend into force. */
export async function applyControls(
  optim: GanOptim,
  networks: Networks,
  before: Controls,
  next: Controls,
): Promise<Applied> {
  const notes: string[] = [];
  const wrappers = Object.fromEntries(optim) as Record<Side, ReturnType<typeof createWrapper>>;
  const sameOptions = JSON.stringify(wrapperOptions(before)) === JSON.stringify(wrapperOptions(next));
  for (const side of sides) {
    const newRule = before[side].rule !== next[side].rule;
    if (newRule || !sameOptions) wrappers[side] = await rebuilt(optim, networks, side, before, next);
    if (newRule) notes.push(`The ${side}'s ${next[side].rule} starts with an empty state.`);
    const { optimizer, paramGroups } = wrappers[side];
    const names = Object.keys(networks[side]);
    if (next[side].frozen) optimizer.freeze(names);
    else optimizer.unfreeze(names);
    paramGroups[0].lr = next[side].lr;
  }
  return { optim: new OptimWrapperDict(wrappers), note: notes.join(" ") };
}

/** Another rule or other options: a new wrapper over the same variables, with the state where the rule is the same. */
async function rebuilt(
  optim: GanOptim,
  networks: Networks,
  side: Side,
  before: Controls,
  next: Controls,
): Promise<ReturnType<typeof createWrapper>> {
  const old = optim.get(side);
  old.flush();
  const wrapper = createWrapper(networks[side], next, side);
  if (before[side].rule === next[side].rule) {
    await wrapper.loadStateDict(await old.stateDict(), {
      restore: { lossScaler: before.scaling && next.scaling, counts: false },
    });
  }
  old.dispose();
  return wrapper;
}
