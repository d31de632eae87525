import { testOptimizer } from "@mm/optim-conformance";
import { type GoldenFile, testGolden } from "@mm/optim-recordings";
import type { Variable } from "@mm/optim-jax";
import { test } from "vitest";
import { fixtures } from "../../optim-recordings/test/fixtures.ts";
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

// Rules run on the kernels of @mm/optim-wasm, which are held to all recordings: these show that gradients, windows and scales come through.
for (const name of ["optim-wrapper.json", "amp-optim-wrapper.json"]) {
  const counts = { liveAllocations: () => 0 };
  testGolden({ test, factory: jaxFactory("wasm", counts), file: fixtures.get(name) as GoldenFile });
}
