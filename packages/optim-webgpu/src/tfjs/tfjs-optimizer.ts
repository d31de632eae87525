import type { BaseHyperparameters, GroupsInput, RulesOf, SlotOptions } from "@mm/optim-core";
import { requireRule, type UpdateRule } from "@mm/optim-core/rule";
import {
  type NativeHyperparameters,
  type NativeOptimizer,
  tfjsOptimizer as hostOptimizer,
  type TfjsOptimizer,
  type TfjsOptimizerOptions,
  type TfjsParameters,
  type TfjsVariables,
} from "@mm/optim-tfjs";
import {
  checkedOptions,
  createVariableOptimizer,
  isNativeOptimizer,
  namedVariables,
} from "@mm/optim-tfjs/host";
import * as tf from "@tensorflow/tfjs-core";
import { tfjsEngine } from "./engine.ts";
import { findHost, type TfjsHost } from "./host.ts";

const who = "tfjsOptimizer";

/**
 * `tfjsOptimizer` of `@mm/optim-tfjs` with one difference: on tfjs-backend-webgpu a rule runs as this package's fused kernels, in place on
 * the variables. Nothing else changes, and nothing waits for the device.
 *
 * ```ts
 * import "@tensorflow/tfjs-backend-webgpu";
 * import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
 *
 * await tf.setBackend("webgpu");
 * const optim = createAmpOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), model.trainableWeights));
 * optim.updateParams(() => loss(batch));
 * ```
 *
 * A step with n variables: n copies of gradients, n + 2 dispatches, one submission of tfjs's own work and one of ours. Data that something
 * else refers to (a clone, a reshape, the tensor that a variable was made from) keeps its values: the variable gets its own copy first.
 *
 * Where the private parts of tfjs-backend-webgpu are not as expected, with `lowering: "ops"`, for a `tf.Optimizer`, and on other backends
 * of tfjs it is `@mm/optim-tfjs`; `capabilities.inPlace` tells whether parameters are written in place.
 *
 * @throws OptimError as `tfjsOptimizer` of `@mm/optim-tfjs`; `unsupported` for a rule with more slots than the device binds,
 * `invalid-parameter` for a variable that is more than it binds at once, `device-lost`
 */
export function tfjsOptimizer<H extends BaseHyperparameters, const G extends readonly object[]>(
  rule: UpdateRule<H>,
  groups: GroupsInput<TfjsVariables, NoInfer<H>, G>,
  options?: TfjsOptimizerOptions,
): TfjsOptimizer<H, RulesOf<G, H>>;
export function tfjsOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  variables: TfjsParameters<NoInfer<H>>,
  options?: TfjsOptimizerOptions,
): TfjsOptimizer<H>;
/** A `tf.Optimizer`, as `@mm/optim-tfjs` takes it. */
export function tfjsOptimizer(
  optimizer: NativeOptimizer,
  variables: TfjsParameters<NativeHyperparameters>,
): TfjsOptimizer<NativeHyperparameters>;
export function tfjsOptimizer<H extends BaseHyperparameters>(
  ruleOrNative: UpdateRule<H> | NativeOptimizer,
  variables: TfjsParameters<H>,
  options: TfjsOptimizerOptions = {},
): TfjsOptimizer<H> | TfjsOptimizer<NativeHyperparameters> {
  const { lowering, ...slots } = checkedOptions(options, who);
  if (isNativeOptimizer(ruleOrNative)) return hostOptimizer(ruleOrNative as never, variables, options);
  const host = lowering === "auto" ? findHost(tf.backend()) : undefined;
  if (host === undefined) return hostOptimizer(ruleOrNative, variables, options);
  return inPlaceOptimizer(host, ruleOrNative, variables, slots);
}

function inPlaceOptimizer<H extends BaseHyperparameters>(
  host: TfjsHost,
  rule: UpdateRule<H>,
  variables: TfjsParameters<H>,
  options: SlotOptions,
): TfjsOptimizer<H> {
  requireRule(who, rule);
  const parameters = namedVariables(variables, who);
  const engine = tfjsEngine(host);
  try {
    return createVariableOptimizer(who, engine, rule, parameters, options);
  } catch (error) {
    engine.dispose?.();
    throw error;
  }
}
