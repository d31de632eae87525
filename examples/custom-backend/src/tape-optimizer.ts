import type { BaseHyperparameters, Optimizer, ParametersInput } from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { TapeLoss } from "./differentiate.ts";
import { tapeEngine } from "./engine.ts";
import type { Tensor } from "./tensor.ts";

/**
 * An update rule over tensors, in place. They stay the caller's.
 *
 * @throws OptimError as `createOptimizer`
 */
export function tapeOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<Tensor, NoInfer<H>>,
): Optimizer<TapeLoss, Tensor, H> {
  return createOptimizer("tapeOptimizer", tapeEngine(), rule, parameters);
}
