export { jaxOptimizer, type JaxParameters } from "./jax-optimizer.ts";
export { jitLoss } from "./jit-loss.ts";
export type { JaxLoss, ReadVariables } from "./loss.ts";
export type { Argument } from "./references.ts";
export type { ArraysOf, VariablesOf, VariableTree } from "./variable-tree.ts";
export { Variable } from "./variable.ts";
