// The conformance kit over the WebAssembly backend, with nothing but a runtime around it.
import { linearClosure, testOptimizer } from "@mm/optim-conformance";
import { sgd } from "@mm/optim-rules";
import { wasmOptimizer } from "@mm/optim-wasm";

/** @returns {Promise<{ passed: number, failures: string[], compiled: boolean }>} `compiled`: rules ran as WebAssembly */
export async function runKit() {
  const tests = [];
  const test = Object.assign((title, body) => tests.push([title, body]), { skip() {} });
  testOptimizer({
    test,
    print() {},
    factory: {
      name: "wasm",
      tolerance: "exact",
      createParameter: (values) => values.slice(),
      createOptimizer: wasmOptimizer,
      linearLoss: (terms) => linearClosure(terms, (parameter) => parameter),
      readLoss: (value) => value,
      liveAllocations: () => 0,
    },
  });
  const failures = [];
  for (const [title, body] of tests) {
    try {
      await body();
    } catch (error) {
      failures.push(`${title}: ${error}`);
    }
  }
  const { compiled } = wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }).capabilities;
  return { passed: tests.length - failures.length, failures, compiled };
}
