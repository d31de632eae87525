import type { numpy as np } from "@jax-js/jax";
import type { BaseHyperparameters, Optimizer, ParametersInput } from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { JaxLoss } from "./differentiate.ts";
import { jaxEngine } from "./engine.ts";
import type { Variable } from "./variable.ts";

/**
 * An update rule over variables of jax-js, on its devices that can be read synchronously ("wasm" and "cpu"). Variables stay the caller's.
 *
 * @throws OptimError as `createOptimizer`
 */
export function jaxOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<Variable, NoInfer<H>>,
): Optimizer<JaxLoss, np.Array, H> {
  return createOptimizer("jaxOptimizer", jaxEngine(), rule, parameters);
}
