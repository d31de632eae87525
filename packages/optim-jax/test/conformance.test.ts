import { testOptimizer } from "@mm/optim-conformance";
import type { Variable } from "@mm/optim-jax";
import { test } from "vitest";
import { jaxFactory } from "./factory.ts";

for (const device of ["wasm", "cpu"] as const) {
  const live = new Set<Variable>();
  const factory = jaxFactory(device, {
    tolerance: "exact",
    // jax-js counts references, array by array; one is the variable's own.
    liveAllocations: () =>
      [...live].reduce((sum, variable) => {
        const array = variable.read();
        array.dispose();
        return sum + array.refCount;
      }, 0),
  });
  testOptimizer({
    test,
    factory: {
      ...factory,
      createParameter(values, shape) {
        const variable = factory.createParameter(values, shape);
        live.add(variable);
        return variable;
      },
      disposeParameter(variable) {
        live.delete(variable);
        variable.dispose();
      },
      // Without a copy, a read gives the array that the variable holds.
      storageOf(variable) {
        const array = variable.read();
        array.dispose();
        return array;
      },
    },
  });
}
