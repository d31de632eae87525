// For authors of backends. A backend that fits `Engine` gets the rest of `Optimizer` from `createOptimizer`.
export { contractVersion, requireContract, requireVersion } from "../contract.ts";
export { evaluateSwapped } from "../create-optim-wrapper.ts";
export { refuse } from "../errors.ts";
export { hyperparameterEntries } from "../hyperparameters.ts";
export { resolveLossScale } from "../loss-scaler.ts";
export { decorateOptimizer } from "./decorate.ts";
export type {
  Checked,
  CheckRequest,
  Engine,
  EngineLossScaler,
  GradientRequest,
  Gradients,
  ResolvedStep,
  StateEngine,
  StepItem,
  StepStages,
} from "./engine.ts";
export type { HyperparameterGroup } from "./groups.ts";
export { memo } from "./memo.ts";
export { createOptimizer } from "./optimizer/create-optimizer.ts";
export {
  type AdmittedParameter,
  lengthOf,
  type NamedParameter,
  type Parameter,
  type ParameterDescription,
} from "./parameter.ts";
export { fromBfloat16, packBfloat16, toBfloat16, unpackBfloat16 } from "./program/bfloat16.ts";
export { reduceArray, type Reduction } from "./program/evaluate.ts";
export {
  type Extents,
  extentsOf,
  isPartial,
  lengthAlong,
  type MatrixView,
  matrixViewOf,
  type Outputs,
} from "./program/extents.ts";
export { orthogonalizeArray } from "./program/orthogonalize.ts";
export {
  allOperations,
  axesOfReduction,
  type BinaryOp,
  type ComparisonOp,
  type ElementNode,
  type ElementPass,
  firstOperations,
  type GradientRewrite,
  isFlat,
  isPacked,
  isPackedVector,
  type MatrixRoutine,
  neededNodes,
  operandsOf,
  operationsOf,
  type Pass,
  type Program,
  rootsOf,
  type ScalarInstruction,
  type Store,
  type TensorReduction,
  type UnaryOp,
  type UniformSource,
  vectorOf,
} from "./program/program.ts";
export { namedWrappers, type WrappersInput } from "./named-wrappers.ts";
export { halfToNumber } from "./program/half.ts";
export { printProgram } from "./program/print.ts";
export { masterSlot, pendingGradient } from "./program/reserved.ts";
export { layOutPasses } from "./program/passes.ts";
export { firstMatrix, makingOf, scratchLengths } from "./program/scratch.ts";
export { evaluateScalar, evaluateScalars, type ScalarInputs } from "./program/scalars.ts";
export { allSlots, structureOf, traceRule } from "./program/trace.ts";
export { arrayKernels, packed, type VectorKernels } from "./program/vectors.ts";
export { checkOnHost } from "./step/check.ts";
export { clipCoefficient, type StepClip } from "./step/clip.ts";
export {
  checkedLossScalerState,
  checkedScale,
  HostLossScaler,
  lossScalerState,
  nextLossScale,
} from "./step/host-loss-scaler.ts";
export { hostCapabilities, hostStages } from "./step/host.ts";
export { runStep } from "./step/pipeline.ts";
export { type Barrier, barriersOf, type Totals, totalsOf } from "./step/totals.ts";
export { unscaleFactor } from "./step/unscale.ts";
export { hostUpdate, type ParameterAccess } from "./step/update.ts";
