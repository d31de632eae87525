export { type Exception, exceptions } from "./exceptions.ts";
export { type GoldenCase, type GoldenFile, type GoldenMeta, parseGoldenFile } from "./format.ts";
export {
  formatResult,
  formatSummary,
  type GoldenOptions,
  type GoldenResult,
  runGolden,
  runGoldenCase,
  testGolden,
  type TestGoldenOptions,
} from "./run.ts";
