import { numpy as np } from "@jax-js/jax";
import { type OptimizerFactory, testOptimizer } from "@mm/optim-conformance";
import { test } from "vitest";
import type { JaxLoss } from "../src/differentiate.ts";
import { jaxOptimizer } from "../src/jax-optimizer.ts";
import { arrayOf, Variable } from "../src/variable.ts";

const live = new Set<Variable>();

const factory: OptimizerFactory<Variable, JaxLoss, np.Array> = {
  name: "jax-js",
  // Rules run on core's reference evaluation.
  tolerance: "exact",
  createParameter(values, shape) {
    const variable = new Variable(arrayOf(values, shape));
    live.add(variable);
    return variable;
  },
  disposeParameter(variable) {
    live.delete(variable);
    variable.dispose();
  },
  createOptimizer: jaxOptimizer,
  linearLoss: (terms) => (at) =>
    terms
      .map(({ parameter, gradient }) => at(parameter).mul(arrayOf(gradient, parameter.shape)).sum())
      .reduce((sum, term) => sum.add(term), np.array(0)),
  readLoss: (value) => value.item(),
  // jax-js counts references, array by array.
  storageOf: ({ array }) => array,
  liveAllocations: () => [...live].reduce((sum, { array }) => sum + array.refCount, 0),
};

testOptimizer({ test, factory });
