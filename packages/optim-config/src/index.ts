export { buildOptimWrapper, type BuildParts, type EntryPoint } from "./build-optim-wrapper.ts";
export { buildOptimWrapperDict, type BuiltDict } from "./build-optim-wrapper-dict.ts";
export { buildScheduler, buildSchedulerDict, type WithSchedules } from "./build-scheduler.ts";
export type {
  AnyOptimizerConfig,
  AnyParamRule,
  ClipGradAdaptiveConfig,
  ClipGradByNormConfig,
  DictMember,
  LayerDecay,
  OptimizerConfig,
  OptimWrapperConfig,
  OptimWrapperDictConfig,
  ParamOptions,
  ParamRule,
  Paramwise,
  RuleAround,
  ScaleLr,
  ScheduleConfig,
  SchedulesConfig,
  WrapperSettings,
} from "./config.ts";
export type { Matcher, MatcherFields } from "./matcher.ts";
export { joinModels, type JoinedModels, type Model } from "./model/describe-model.ts";
export type { LayersModel } from "./model/layers-model.ts";
export type { ModelKind, ModelParameter, ParameterKind } from "./model/model-kind.ts";
export type { NamedParameters } from "./model/named-parameters.ts";
export { parseOptimWrapperConfig, parseOptimWrapperDictConfig } from "./read-config.ts";
export type {
  RuleHyperparameters,
  Registries,
  RuleFactory,
  RuleName,
  RuleRegistry,
  ScheduleRegistry,
} from "./registry.ts";
export { optimWrapperDictSchema, optimWrapperSchema } from "./schema/config-schema.ts";
export type { JsonSchema, JsonType } from "./schema/json-schema.ts";
export { explain, type ExplainedParameter, type Explanation, formatExplanation } from "./explain.ts";
export type { WrappersInput as Wrappers } from "@mm/optim-core/backend";
