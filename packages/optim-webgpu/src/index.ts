export { type Arena, type ArenaOptions, createArena } from "./arena.ts";
export type { WebgpuBackward, WebgpuLoss } from "./differentiate.ts";
export type { WebgpuBinding, WebgpuParameter, WebgpuRange } from "./parameters.ts";
export {
  webgpuOptimizer,
  type WebgpuOptimizer,
  type WebgpuOptimizerOptions,
  type WebgpuParameters,
  type WebgpuParamGroups,
} from "./webgpu-optimizer.ts";
