// All cases by name, for ranks in threads and for those of MPI.
import type { SlicingCommunicator } from "@mm/optim-distributed";
import { compareWithOne, setups } from "./equality.ts";
import { exchange, refusals } from "./exchanges.ts";
import { flips, mismatches, oneRankOnly, overflow, resume, start, turns } from "./together.ts";

export type Results = { readonly [name: string]: unknown };

type Case = (communicator: SlicingCommunicator, folder: string) => unknown;

const cases: { readonly [name: string]: Case } = {
  exchange,
  refusals,
  overflow,
  oneRankOnly,
  turns,
  mismatches,
  flips,
  start,
  resume: (communicator, folder) => resume(communicator, `${folder}/rank-0.safetensors`),
  ...Object.fromEntries(
    Object.entries(setups).flatMap(([name, setup]): [string, Case][] => [
      [`arrays: ${name}`, (communicator) => compareWithOne(setup, communicator, false)],
      [`arena: ${name}`, (communicator) => compareWithOne(setup, communicator, true)],
    ]),
  ),
};

export const caseNames: readonly string[] = Object.keys(cases);

/** One after the other, on this rank. */
export async function runCases(
  names: readonly string[],
  communicator: SlicingCommunicator,
  folder: string,
): Promise<Results> {
  const results: Record<string, unknown> = {};
  for (const name of names) results[name] = await cases[name]?.(communicator, folder);
  return results;
}
