export { type Checkpoint, decodeCheckpoint, type DecodedCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
export type { CheckpointStorage } from "./checkpoint-storage.ts";
export { type CheckpointStore, checkpointStore, type FoundRun } from "./checkpoint-store.ts";
export {
  Checkpoints,
  type CheckpointsOptions,
  type FoundCheckpoint,
  type SaveOptions,
  type SkippedCheckpoint,
} from "./checkpoints.ts";
export { decodeSafetensors, type SafetensorsContent } from "./decode.ts";
export { encodeSafetensors, type SafetensorsFile } from "./encode.ts";
export type { KeepOptions } from "./keep.ts";
export type { Progress, ProgressOptions } from "./progress.ts";
export type { ByteInput, ByteSource } from "./source.ts";
export type { SavedState } from "./state.ts";
export {
  type Bytes,
  type Dtype,
  type FileTensor,
  type TensorData,
  type TensorInput,
  toFloat32,
} from "./tensor.ts";
export {
  type OptimWrappers,
  restoreCheckpoint,
  type RestoreCheckpointOptions,
  takeCheckpoint,
  type TakeCheckpointOptions,
} from "./wrappers.ts";
export { decodeTorchState, type TorchParts, type TorchStateOptions } from "./torch/decode.ts";
export { encodeTorchState } from "./torch/encode.ts";
