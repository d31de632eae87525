export { accumulateKernel, type IncomingStorage } from "./accumulate.ts";
export { along, alongAt, isShaped, recordWords, scratchElements, termsAt } from "./along.ts";
export { checkKernel, checkWorkgroups, normKernel, partialsPerWorkgroup } from "./check.ts";
export { hasScratch, matricesOf, type ParameterAccess } from "./elements.ts";
export {
  globals,
  globalsWords,
  header,
  headerWords,
  type NormKind,
  normKinds,
  pair,
  partialWords,
  range,
  rangeWords,
  record,
  scalerState,
  scalerStateWords,
  stateBlock,
  stateBlockWords,
  tile,
  tileElements,
  tileWords,
  workgroupSize,
} from "./layout.ts";
export { prepareKernel } from "./prepare.ts";
export { prepareNormsKernel } from "./prepare-norms.ts";
export { dims, dimsWords, jobWords, productKernel, type ProductKind, productTile } from "./products.ts";
export { perTensor, reduceKernel, type ReducePass } from "./reduce-pass.ts";
export {
  codeWords,
  evaluationsOf,
  hasSums,
  registersOf,
  staticWords,
  writeCode,
  writeStatics,
  writeUniforms,
} from "./scalars.ts";
export { seedKernel } from "./seed.ts";
export {
  alongUpdateKernel,
  columnsKernel,
  columnSumsKernel,
  perAxis,
  rowsKernel,
  type UpdatePass,
} from "./shaped-passes.ts";
export type { KernelSource } from "./source.ts";
export { termWords, totalJob, totalJobWords, totalsKernel } from "./totals.ts";
export { makingKernel, updateKernel } from "./update.ts";
export { wide } from "./wide.ts";
