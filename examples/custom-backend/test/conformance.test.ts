import { type OptimizerFactory, testOptimizer } from "@mm/optim-conformance";
import { test } from "vitest";
import type { TapeLoss } from "../src/differentiate.ts";
import { tapeOptimizer } from "../src/tape-optimizer.ts";
import { add, multiply, sum, Tensor } from "../src/tensor.ts";

const factory: OptimizerFactory<Tensor, TapeLoss, Tensor> = {
  name: "tape",
  outputs: "last",
  // Rules run on core's reference evaluation.
  tolerance: "exact",
  createParameter: (values, shape) => new Tensor(values, shape),
  createOptimizer: tapeOptimizer,
  linearLoss: (terms) => () =>
    terms
      .map(({ parameter, gradient }) => sum(multiply(parameter, new Tensor(gradient, parameter.shape))))
      .reduce(add),
  readLoss: ({ values }) => values[0] as number,
  storageOf: ({ values }) => values,
  // Garbage collection frees all there is.
  liveAllocations: () => 0,
};

testOptimizer({ test, factory });
