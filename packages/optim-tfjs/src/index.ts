export type { TfjsLoss } from "./gradients.ts";
export type { NativeHyperparameters, NativeOptimizer } from "./native.ts";
export type {
  TfjsLayerWeight,
  TfjsParameters,
  TfjsParamGroup,
  TfjsRuledGroup,
  TfjsVariable,
  TfjsVariables,
} from "./parameters.ts";
export { renamed } from "./renamed.ts";
export {
  registerTfOptimizer,
  type RegisterTfOptimizerOptions,
  type TfjsModule,
  type TfOptimizerOptions,
  toTfOptimizer,
} from "./fit/to-tf-optimizer.ts";
export type { TfOptimizer } from "./fit/tf-optimizer.ts";
export type { TfjsWrapper } from "./fit/wrapper.ts";
export type { TfjsOptimizerOptions } from "./options.ts";
export { tfjsOptimizer, type TfjsOptimizer } from "./tfjs-optimizer.ts";
export { type VariablesState, variablesState, type VariablesStateDict } from "./variables-state.ts";
