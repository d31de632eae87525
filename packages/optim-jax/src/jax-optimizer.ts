import type { numpy as np } from "@jax-js/jax";
import type {
  BaseHyperparameters,
  GroupsInput,
  Optimizer,
  ParametersInput,
  RulesOf,
  SlotOptions,
} from "@mm/optim-core";
import { createOptimizer, type Engine, lengthOf } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import { anything, checkSchema } from "@mm/optim-core/schema";
import { availableVectorMemory, createVectorArrays } from "@mm/optim-wasm/kernel";
import { arrayEngine } from "./array-engine.ts";
import { bufferEngine } from "./buffer-engine.ts";
import type { JaxLoss } from "./loss.ts";
import { isVariable, type Variable } from "./variable.ts";

/** Variables by name, or groups of them. */
export type JaxParameters<H extends BaseHyperparameters = BaseHyperparameters> = ParametersInput<Variable, H>;

const who = "jaxOptimizer";

/**
 * An update rule over variables of jax-js. On webgpu it runs as WGSL in place on their buffers, and nothing waits for the device; on wasm and cpu it runs
 * as WebAssembly, over a copy of the variables that stays in its memory.
 *
 * ```ts
 * const model = { w: new Variable(np.zeros([784, 10])), b: new Variable(np.zeros([10])) };
 * const optim = createOptimWrapper(jaxOptimizer(adamw({ lr: 1e-3 }), model));
 * optim.updateParams((at) => loss(at(model), batch));
 * ```
 *
 * Variables stay the caller's, and are all on one device. A step on webgpu with n variables, without clipping and loss scaling: n copies of gradients,
 * n dispatches, one submission, beside what jax-js does itself.
 *
 * Memory beside the variables: 4 bytes per element for the accumulator and for each slot (2 of those with `slotDtype: "bfloat16"`); on wasm and cpu 4 more.
 *
 * @throws OptimError `invalid-rule`, `invalid-parameter` for anything but live variables of one device, `empty-parameters`, `duplicate-parameter`,
 * `unknown-option`, `invalid-hyperparameter`, `unsupported` for a rule with more slots than the device binds and for a jax-js whose arrays are not as
 * expected, `device-lost`
 */
export function jaxOptimizer<H extends BaseHyperparameters, const G extends readonly object[]>(
  rule: UpdateRule<H>,
  groups: GroupsInput<{ readonly [name: string]: Variable }, NoInfer<H>, G>,
  options?: SlotOptions,
): Optimizer<JaxLoss, np.Array, H, RulesOf<G, H>>;
export function jaxOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: JaxParameters<NoInfer<H>>,
  options?: SlotOptions,
): Optimizer<JaxLoss, np.Array, H>;
export function jaxOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: JaxParameters<H>,
  options: SlotOptions = {},
): Optimizer<JaxLoss, np.Array, H> {
  checkSchema("invalid-option", `${who}: options`, options, { fields: { "slotDtype?": anything } });
  const variables = variablesIn(parameters);
  // Without a variable, core refuses, whatever the device.
  const device = variables[0]?.device ?? "cpu";
  if (device === "webgpu") return build(bufferEngine(), rule, parameters, options);
  const memory = availableVectorMemory(bytesFor(variables));
  return memory
    ? build(arrayEngine(memory, device), rule, parameters, options)
    : build(arrayEngine(createVectorArrays(), device), rule, parameters, options);
}

function build<V, G, S, H extends BaseHyperparameters>(
  engine: Engine<JaxLoss, np.Array, Variable, V, G, S>,
  rule: UpdateRule<H>,
  parameters: JaxParameters<H>,
  options: SlotOptions,
): Optimizer<JaxLoss, np.Array, H> {
  try {
    return createOptimizer(who, engine, rule, parameters, options);
  } catch (error) {
    engine.dispose?.();
    throw error;
  }
}

/** An estimate of the bytes in the kernels' memory: values, accumulator and three slots of each variable, and a gradient of each length. */
function bytesFor(variables: readonly Variable[]): number {
  return 6 * variables.reduce((sum, { shape }) => sum + 4 * lengthOf(shape) + 64, 0);
}

/** The variables among the parameters. They are checked later. */
function variablesIn(parameters: unknown): readonly Variable[] {
  const groups: unknown[] = Array.isArray(parameters) ? parameters : [{ params: parameters }];
  return groups
    .flatMap((group) =>
      Object.values(Object((Object(group) as { params?: unknown }).params) as { [name: string]: unknown }),
    )
    .filter(isVariable);
}
