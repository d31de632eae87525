// The objects of a test file of the conformance kit: a runner's `test`, and a backend over plain arrays. Tests wait until the block is through.
import {
  type GradientClosure,
  linearClosure,
  type OptimizerFactory,
  referenceOptimizer,
} from "@mm/optim-conformance";

const tests: (() => Promise<void>)[] = [];

export function test(title: string, run: () => Promise<void>): void {
  tests.push(() => run().catch((error: unknown) => Promise.reject(new Error(title, { cause: error }))));
}

/** Runs what was registered. */
export async function finish(): Promise<void> {
  if (tests.length === 0) throw new Error("no test was registered");
  for (const run of tests.splice(0)) await run();
}

export const myOptimizer: OptimizerFactory<Float32Array, GradientClosure, number>["createOptimizer"] = (
  rule,
  parameters,
  options,
) => referenceOptimizer(rule, parameters, options);

export const factory: OptimizerFactory<Float32Array, GradientClosure, number> = {
  name: "mine",
  createParameter: (values) => values.slice(),
  createOptimizer: myOptimizer,
  linearLoss: (terms) => linearClosure(terms, (parameter) => parameter),
  readLoss: (value) => value,
  liveAllocations: () => 0,
};
