export {
  defaultTolerance,
  type LinearTerm,
  type LossClosure,
  type OptimizerFactory,
  type Tolerance,
} from "./factory.ts";
export {
  type Allocations,
  type GradientClosure,
  type GradientPass,
  linearClosure,
  referenceFactory,
  referenceOptimizer,
  type ReferenceOptions,
  type ReferenceParameter,
} from "./reference.ts";
export { type TestFunction, testOptimizer, type TestOptimizerOptions } from "./kit/test-optimizer.ts";
