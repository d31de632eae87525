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
export type { TfjsOptimizerOptions } from "./options.ts";
export { tfjsOptimizer, type TfjsOptimizer } from "./tfjs-optimizer.ts";
