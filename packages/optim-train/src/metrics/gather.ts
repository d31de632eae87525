import {
  type AnyOptimWrapper,
  isOptimError,
  type MetricsOptions,
  OptimError,
  type StepMetrics,
} from "@mm/optim-core";
import { nameIn } from "../wrappers.ts";

/**
 * Reads the metrics of all wrappers as of one moment. Waits for the devices.
 *
 * @throws OptimError what the reads reject with, all in one error that names the wrappers
 */
export async function readAllMetrics(
  wrappers: ReadonlyMap<string, AnyOptimWrapper>,
  options?: MetricsOptions,
): Promise<ReadonlyMap<string, StepMetrics>> {
  const names = [...wrappers.keys()];
  // `async`: a read that throws is one that rejects.
  const settled = await Promise.allSettled(
    [...wrappers.values()].map(async (one) => one.readMetrics(options)),
  );
  const errors = settled.flatMap((one, index) =>
    one.status === "rejected" ? [[names[index] as string, one.reason as unknown] as const] : [],
  );
  const [first] = errors;
  if (first !== undefined) {
    if (names.length === 1 || !errors.every(([, error]) => isOptimError(error))) throw first[1];
    const messages = errors.map(([name, error]) => nameIn(name, (error as OptimError).message));
    throw new OptimError((first[1] as OptimError).code, messages.join("\n"), { cause: first[1] });
  }
  return new Map(
    settled.flatMap((one, index) =>
      one.status === "fulfilled" ? [[names[index] as string, one.value]] : [],
    ),
  );
}
