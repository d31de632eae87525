export type { Capabilities } from "./capabilities.ts";
export { createAmpOptimWrapper, createOptimWrapper } from "./create-optim-wrapper.ts";
export { isOptimError, OptimError, type OptimErrorCode, type OptimErrorDetails } from "./errors.ts";
export type { BaseHyperparameters, HyperparameterRecord, HyperparameterValue } from "./hyperparameters.ts";
export type {
  DynamicLossScale,
  LossScale,
  LossScaler,
  LossScalerStateDict,
  LossScaleSettings,
} from "./loss-scaler.ts";
export type {
  AnyOptimWrapper,
  NotPromise,
  OptimWrapper,
  UpdateParamsResult,
  WithLoss,
} from "./optim-wrapper.ts";
export type {
  AddedParamGroup,
  AnyOptimizer,
  BackwardOptions,
  GroupsInput,
  Optimizer,
  ParameterInfo,
  ParametersInput,
  ParamGroup,
  ParamGroupInput,
  ParamGroups,
  ParamNamesOf,
  RuledGroupInput,
  RulesOf,
  MetricsOptions,
  StepMetrics,
  StepOptions,
  StepSettings,
} from "./optimizer.ts";
export type {
  ClipGrad,
  ClipGradAdaptive,
  ClipGradByNorm,
  ClipGradByValue,
  CountStatus,
  OnNonFinite,
  OptimWrapperOptions,
  SlotDtype,
  SlotOptions,
  SlotStorage,
  UpdateParamsOptions,
  WrapperBackwardOptions,
} from "./options.ts";
export type {
  GroupState,
  LoadOptions,
  LoadReport,
  NamedTensors,
  OptimizerStateDict,
  OptimWrapperStateDict,
  ParameterState,
  PreparedLoad,
  RestoreOptions,
  StateDictOptions,
  WindowCounts,
} from "./state.ts";
