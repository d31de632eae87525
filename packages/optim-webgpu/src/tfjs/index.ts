export type {
  NativeHyperparameters,
  NativeOptimizer,
  TfjsLayerWeight,
  TfjsLoss,
  TfjsOptimizer,
  TfjsOptimizerOptions,
  TfjsParameters,
  TfjsParamGroup,
  TfjsRuledGroup,
  TfjsVariable,
  TfjsVariables,
} from "@mm/optim-tfjs";
export { snapshot } from "./snapshot.ts";
export { tfjsOptimizer } from "./tfjs-optimizer.ts";
