export type { CallOneWrapper } from "./ambiguous.ts";
export type {
  CountStatusByName,
  LrByName,
  MetricsByName,
  MomentumByName,
  ParamGroupsByName,
  WrapperEntry,
  WrapperName,
  WrapperRecord,
} from "./by-name.ts";
export { type AnyOptimWrapperDict, OptimWrapperDict } from "./optim-wrapper-dict.ts";
export type { DictLoadOptions, OptimWrapperDictStateDict } from "./state.ts";
