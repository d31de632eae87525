export {
  defaultTolerance,
  type LinearTerm,
  type LossClosure,
  type OptimizerFactory,
  type TestFunction,
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
export { testOptimizer, type TestOptimizerOptions } from "./kit/test-optimizer.ts";
export { type AnyOptimizerFactory, testRule, type TestRuleOptions } from "./rule/test-rule.ts";
