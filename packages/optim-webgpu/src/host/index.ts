// For authors of backends whose parameters are in GPUBuffers: the engine of this package under the name of another.
export type { WebgpuStepParameter } from "../accumulate.ts";
export { type Arena, type ArenaOptions, createArena } from "../arena.ts";
export type { CopyOptions, GradientSource, HostGradients } from "../copy-gradients.ts";
export type { WebgpuBackward, WebgpuLoss } from "../differentiate.ts";
export type { EngineMembers, EngineOptions } from "../engine.ts";
export { type ProgramKernel, programKernels } from "../kernel/program-kernels.ts";
export type { ParameterAccess } from "../kernel/elements.ts";
export { requireRoom } from "../limits.ts";
export type { StepScalar } from "../loss-scaler.ts";
export { bufferPort, type WebgpuParameter, type WebgpuRange } from "../parameters.ts";
export type { ParameterPort, ParameterRange } from "../port.ts";
export type { DType, Vector, WebgpuBinding } from "../storage.ts";
export { copyGradients, createEngine, recordGradients, type WebgpuEngine } from "./engine.ts";
