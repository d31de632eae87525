export { type Arena, type ArenaOptions, createArena } from "./arena.ts";
export type { WasmBackward, WasmLoss } from "./differentiate.ts";
export type { WasmCapabilities } from "./engine.ts";
export type { GradientPlace } from "./gradient-places.ts";
export {
  wasmOptimizer,
  type WasmOptimizer,
  type WasmOptimizerOptions,
  type WasmParameters,
  type WasmParamGroups,
} from "./wasm-optimizer.ts";
