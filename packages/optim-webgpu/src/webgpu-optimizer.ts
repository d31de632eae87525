import type {
  BaseHyperparameters,
  GroupsInput,
  Optimizer,
  ParametersInput,
  ParamNamesOf,
  RulesOf,
  SlotOptions,
} from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import { requireRule, type UpdateRule } from "@mm/optim-core/rule";
import { anything, checkSchema } from "@mm/optim-core/schema";
import { aDevice, anAdapter } from "./device.ts";
import type { WebgpuLoss } from "./differentiate.ts";
import { createEngine, recordGradients } from "./host/engine.ts";
import { bufferPort, type WebgpuParameter } from "./parameters.ts";

/** Parameters by name. `Name` is the union of their names. */
export type WebgpuParameters<Name extends string = string> = { readonly [K in Name]: WebgpuParameter };

/** Groups of parameters with hyperparameters of their own. `Name` is the union of the names of all parameters. */
export type WebgpuParamGroups<H, Name extends string = string> = readonly ({
  readonly name?: string;
  readonly params: { readonly [K in Name]?: WebgpuParameter };
  readonly rule?: undefined;
} & Partial<Readonly<H>>)[];

export interface WebgpuOptimizerOptions extends SlotOptions {
  /** The device on which the parameters are. */
  readonly device: GPUDevice;
  /** The adapter that it was requested from: messages then say what its limits would allow. Nothing else is asked of it. */
  readonly adapter?: GPUAdapter | undefined;
}

/** The result of {@link webgpuOptimizer}. */
export type WebgpuOptimizer<
  Name extends string = string,
  H extends BaseHyperparameters = BaseHyperparameters,
  R extends BaseHyperparameters = H,
> = Optimizer<WebgpuLoss<Name>, undefined, H, R>;

const who = "webgpuOptimizer";

/**
 * An update rule on GPUBuffers, in place: one pass over parameter, gradient and slots, with unscaling and clipping in it. Nothing waits for
 * the device: clipping, the finite check, loss scaling, skipped steps and step counts are decided there.
 *
 * ```ts
 * const arena = createArena(device, { w1: 784 * 128, b1: 128 });
 * const optim = createAmpOptimWrapper(webgpuOptimizer(adamw({ lr: 1e-3 }), arena, { device }));
 * optim.updateParams(({ encoder, grad, scale }) => {
 *   recordForwardAndBackward(encoder, arena, { w1: grad("w1"), b1: grad("b1") }, scale);
 *   return undefined;
 * });
 * ```
 *
 * A group may follow a rule of its own: `[{ params: hidden, rule: sgd({ lr: 0.1, momentum: 0.9 }) }, { params: rest }]`. All groups share one
 * norm, one decision on the step, and one state.
 *
 * Parameters are buffers of the caller's with the usages STORAGE, COPY_SRC and COPY_DST, ranges of them, or an arena ({@link createArena});
 * they stay the caller's. Those that share a buffer share a dispatch. Parameters in float16 have float32 master weights, which begin with
 * what the parameter holds at its first step: from then on write them with `writeParameters`.
 *
 * Memory beside the parameters: 4 bytes per element for the accumulator and for each slot (2 of those with `slotDtype: "bfloat16"`), 4 more for windows of several backward calls.
 * `dispose()` frees it.
 *
 * @throws OptimError `invalid-rule`, `invalid-parameter` for what is no such buffer or more than the device binds at once,
 * `empty-parameters`, `duplicate-parameter` for a name that is there twice and for ranges that share elements, `unknown-option`,
 * `invalid-option`, `invalid-hyperparameter`, `unknown-name` for a slot that no rule has, `unsupported` for a rule with more slots than the
 * device binds, `device-lost`
 */
export function webgpuOptimizer<H extends BaseHyperparameters, const Name extends string>(
  rule: UpdateRule<H>,
  groups: WebgpuParamGroups<H, Name>,
  options: WebgpuOptimizerOptions,
): WebgpuOptimizer<Name, H>;
export function webgpuOptimizer<H extends BaseHyperparameters, const G extends readonly object[]>(
  rule: UpdateRule<H>,
  groups: GroupsInput<{ readonly [name: string]: WebgpuParameter }, NoInfer<H>, G>,
  options: WebgpuOptimizerOptions,
): WebgpuOptimizer<ParamNamesOf<G>, H, RulesOf<G, H>>;
export function webgpuOptimizer<H extends BaseHyperparameters, const Name extends string>(
  rule: UpdateRule<H>,
  parameters: WebgpuParameters<Name>,
  options: WebgpuOptimizerOptions,
): WebgpuOptimizer<Name, H>;
export function webgpuOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: unknown,
  options: WebgpuOptimizerOptions,
): WebgpuOptimizer<string, H> {
  checkSchema("invalid-option", `${who}: options`, options, {
    fields: { device: aDevice, "adapter?": anAdapter, "slotDtype?": anything },
  });
  requireRule(who, rule);
  const { device, adapter, slotDtype } = options;
  const engine = createEngine({ backend: "webgpu", device, port: bufferPort(device, adapter) });
  try {
    return createOptimizer(
      who,
      { ...engine.members(), differentiate: (loss, request) => recordGradients(engine, loss, request) },
      rule,
      parameters as ParametersInput<WebgpuParameter, H>,
      { slotDtype },
    );
  } catch (error) {
    engine.dispose();
    throw error;
  }
}
