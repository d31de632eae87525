export type { ArraysOf, JaxLoss, ReadVariables, VariableTree } from "./differentiate.ts";
export { jaxOptimizer, type JaxParameters } from "./jax-optimizer.ts";
export { Variable } from "./variable.ts";
