export { type Arena, type ArenaOptions, createArena } from "./arena.ts";
export type { WebgpuBackward, WebgpuLoss } from "./differentiate.ts";
export type { WebgpuParameter, WebgpuRange } from "./parameters.ts";
export type { WebgpuBinding } from "./storage.ts";
export {
  webgpuOptimizer,
  type WebgpuOptimizer,
  type WebgpuOptimizerOptions,
  type WebgpuParameters,
  type WebgpuParamGroups,
} from "./webgpu-optimizer.ts";
