export type { TfjsLoss } from "./gradients.ts";
export type { NativeHyperparameters, NativeOptimizer } from "./native.ts";
export type {
  TfjsLayerWeight,
  TfjsParameters,
  TfjsParamGroup,
  TfjsVariable,
  TfjsVariables,
} from "./parameters.ts";
export {
  registerTfOptimizer,
  type TfjsWrapper,
  type TfOptimizer,
  type TfOptimizerOptions,
  toTfOptimizer,
} from "./tf-optimizer.ts";
export { tfjsOptimizer, type TfjsOptimizer, type TfjsOptimizerOptions } from "./tfjs-optimizer.ts";
