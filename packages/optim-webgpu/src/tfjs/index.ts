export type {
  NativeHyperparameters,
  NativeOptimizer,
  TfjsLayerWeight,
  TfjsLoss,
  TfjsOptimizer,
  TfjsOptimizerOptions,
  TfjsParameters,
  TfjsParamGroup,
  TfjsVariable,
  TfjsVariables,
} from "@mm/optim-tfjs";
export { snapshot } from "./snapshot.ts";
export { tfjsOptimizer } from "./tfjs-optimizer.ts";
