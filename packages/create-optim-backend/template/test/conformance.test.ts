import { type OptimizerFactory, testOptimizer } from "@mm/optim-conformance";
import { test } from "vitest";
import { type ExampleLoss, exampleOptimizer, Variable } from "../src/index.ts";

const factory: OptimizerFactory<Variable, ExampleLoss, number> = {
  name: "example",
  // Core's reference evaluation runs the rules. With kernels of your own: leave it out, or say how far they may be off.
  tolerance: "exact",
  createParameter: (values, shape) => new Variable(values.slice(), shape),
  createOptimizer: exampleOptimizer,
  linearLoss: (terms) => (pass) => {
    // As a library in float32 has it.
    const scale = Math.fround(pass.scale);
    let loss = 0;
    for (const { parameter, gradient } of terms) {
      const into = pass.grad(parameter);
      for (const [index, slope] of gradient.entries()) {
        into[index] = slope * scale;
        loss += slope * (parameter.data[index] ?? 0);
      }
    }
    return loss;
  },
  readLoss: (value) => value,
  // Garbage collection frees arrays. Count what it does not: tensors, buffers.
  liveAllocations: () => 0,
};

testOptimizer({ test, factory });
