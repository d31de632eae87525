export type { CallOneWrapper } from "./ambiguous.ts";
export type * from "./by-name.ts";
export { type AnyOptimWrapperDict, OptimWrapperDict } from "./optim-wrapper-dict.ts";
export type { DictLoadOptions, OptimWrapperDictStateDict } from "./state.ts";
