import type { BaseHyperparameters, Optimizer, ParametersInput } from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { ExampleLoss } from "./differentiate.ts";
import { exampleEngine } from "./engine.ts";
import type { Variable } from "./variable.ts";

/**
 * An update rule over variables, by name or in groups. They stay the caller's. Wrap it with `createOptimWrapper`.
 *
 * @throws OptimError as `createOptimizer` of `@mm/optim-core/backend`
 */
export function exampleOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<Variable, NoInfer<H>>,
): Optimizer<ExampleLoss, number, H> {
  return createOptimizer("exampleOptimizer", exampleEngine(), rule, parameters);
}
