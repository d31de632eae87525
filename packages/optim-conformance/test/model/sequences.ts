import * as fc from "fast-check";
import type { AnyFactory } from "../../src/kit/kit.ts";
import { type LossClosure, type OptimizerFactory, referenceFactory } from "../../src/index.ts";
import { Beside, difference } from "./beside.ts";
import { type Sequence, sequences } from "./calls.ts";

/**
 * Looks for a sequence of calls after which a wrapper of the backend and the model part, and tells the smallest that it finds: `undefined` for
 * none. With `FUZZ_RUNS` and `FUZZ_SEED` in the environment it is as many, of that seed.
 */
export async function searchSequence<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  numRuns: number,
): Promise<string | undefined> {
  const { FUZZ_RUNS: runs = String(numRuns), FUZZ_SEED: seed = "1" } = environment();
  return searchSeeded(factory, Number(runs), Number(seed));
}

/** The same, whatever the environment says: for faults that have to be found. */
export async function searchSeeded<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  numRuns: number,
  seed = 1,
): Promise<string | undefined> {
  const homes = [factory, referenceFactory()] as const as unknown as readonly [AnyFactory, AnyFactory];
  // When its first optimizer is made, a backend may ask the device about itself: by the end of this one it knows.
  await new Beside(homes, plainOptions).end();
  const property = fc.asyncProperty(sequences, async (sequence) => {
    const found = await difference(homes, sequence);
    if (found !== undefined) throw new Error(found);
  });
  const details = await fc.check(property, { numRuns, seed });
  if (!details.failed) return undefined;
  return `${fc.defaultReportMessage(details)}\n${String(details.errorInstance)}`;
}

const plainOptions: Sequence["options"] = {
  accumulativeCounts: 1,
  maxCounts: undefined,
  precision: "skip",
  clip: undefined,
  gradNorm: false,
};

/** A browser has none. */
function environment(): { readonly [name: string]: string | undefined } {
  const { process } = globalThis as { readonly process?: { readonly env: Record<string, string> } };
  return process?.env ?? {};
}
