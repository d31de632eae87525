export type { ExampleLoss, ExamplePass } from "./differentiate.ts";
export { exampleOptimizer } from "./example-optimizer.ts";
export { Variable } from "./variable.ts";
