import type { Capabilities } from "@mm/optim-core";
import type { LossClosure, OptimizerFactory, TestFunction } from "../factory.ts";
import { accumulationTests } from "./accumulation.ts";
import { capabilityTests } from "./capabilities.ts";
import { clipTests } from "./clip.ts";
import { edgeTests } from "./edges.ts";
import { errorTests } from "./errors.ts";
import { evaluationTests } from "./evaluation.ts";
import { freezeTests } from "./freeze.ts";
import { gradientTests } from "./gradients.ts";
import { groupTests } from "./groups.ts";
import { hyperparameterTests } from "./hyperparameters.ts";
import { type AnyFactory, Kit, type KitTest } from "./kit.ts";
import { lifecycleTests } from "./lifecycle.ts";
import { lossScaleTests } from "./loss-scale.ts";
import { metricsTests } from "./metrics.ts";
import { missingGradientTests } from "./missing-gradients.ts";
import { nonFiniteTests } from "./non-finite.ts";
import { normTests } from "./norms.ts";
import { operationTests } from "./operations.ts";
import { ruleTests } from "./rules.ts";
import { sharedScalerTests } from "./shared-scaler.ts";
import { slotTests } from "./slots.ts";
import { stateTests } from "./state.ts";
import { transferTests } from "./transfer.ts";
import { unscaleTests } from "./unscale.ts";

/** Every test of the kit, in the order of the stages. */
export const kitTests: readonly KitTest[] = [
  ...gradientTests,
  ...missingGradientTests,
  ...accumulationTests,
  ...nonFiniteTests,
  ...unscaleTests,
  ...clipTests,
  ...normTests,
  ...operationTests,
  ...ruleTests,
  ...edgeTests,
  ...groupTests,
  ...hyperparameterTests,
  ...freezeTests,
  ...lossScaleTests,
  ...sharedScalerTests,
  ...metricsTests,
  ...stateTests,
  ...slotTests,
  ...evaluationTests,
  ...transferTests,
  ...capabilityTests,
  ...lifecycleTests,
  ...errorTests,
];

export interface TestOptimizerOptions<P, Loss extends LossClosure, LossValue> {
  readonly test: TestFunction;
  readonly factory: OptimizerFactory<P, Loss, LossValue>;
  /** Where the closing line goes, and lines for skipped tests where the runner cannot show them. Default `console.log`. */
  readonly print?: (line: string) => void;
}

/**
 * Proves that a backend keeps the contract of `Optimizer`: registers every test of the kit with a runner, and one more that prints
 * `NAME: N passed, N failed, N skipped of N`.
 *
 * A test is skipped where `optimizer.capabilities` says that something is not there, and nowhere else: accumulation, missing gradients, state round trips, live
 * learning rates, `dispose` and coded errors are tested of every backend.
 *
 * ```ts
 * import { testOptimizer } from "@mm/optim-conformance";
 * import { test } from "vitest";
 *
 * testOptimizer({ test, factory });
 * ```
 */
export function testOptimizer<P, Loss extends LossClosure, LossValue>({
  test,
  factory,
  print = printToConsole,
}: TestOptimizerOptions<P, Loss, LossValue>): void {
  // Tests pass parameters, closures and losses back to the factory, and never look at them.
  const erased = factory as unknown as AnyFactory;
  const capabilities = capabilitiesOf(erased);
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, needs = [], slotDtype = "float32", run } of kitTests) {
    const title = `${factory.name}: ${name}`;
    const { slotDtypes = ["float32"] } = capabilities;
    const lacking =
      needs.find((capability) => !capabilities[capability]) ??
      (slotDtypes.includes(slotDtype) ? undefined : "slotDtypes");
    const runInKit = async (): Promise<void> => {
      const kit = new Kit(erased, capabilities);
      // Counted as failed until it has passed: a runner may give up on it.
      count.failed += 1;
      try {
        await run(kit);
      } finally {
        kit.dispose();
      }
      count.failed -= 1;
      count.passed += 1;
    };
    if (lacking === undefined) test(title, runInKit);
    else {
      count.skipped += 1;
      const lack = lacking === "slotDtypes" ? `has no ${slotDtype}` : "is false";
      const reason = `${title} (capabilities.${lacking} ${lack})`;
      if (test.skip) test.skip(reason, runInKit);
      else print(`skipped: ${reason}`);
    }
  }
  test(`${factory.name}: summary`, () => {
    const { passed, failed, skipped } = count;
    print(`${factory.name}: ${passed} passed, ${failed} failed, ${skipped} skipped of ${kitTests.length}`);
    return Promise.resolve();
  });
}

function capabilitiesOf(factory: AnyFactory): Capabilities {
  const kit = new Kit(factory);
  try {
    return kit.capabilities;
  } finally {
    kit.dispose();
  }
}

function printToConsole(line: string): void {
  (globalThis as { readonly console?: { log(line: string): void } }).console?.log(line);
}
