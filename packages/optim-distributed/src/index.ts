export { broadcastState } from "./broadcast-state.ts";
export { checkReplicas } from "./check-replicas.ts";
export type { Communicator, LossyCommunicator, SlicingCommunicator, Summable } from "./communicator.ts";
export { compressed } from "./compressed.ts";
export { type DataParallel, dataParallel } from "./data-parallel.ts";
export { distributed } from "./distributed.ts";
export { type LocalSteps, localSteps, type LocalStepsOptions } from "./local-steps.ts";
export { shardOf } from "./shard-of.ts";
export type { OptimWrappers } from "./wrappers.ts";
