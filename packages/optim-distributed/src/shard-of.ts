import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import type { Communicator } from "./communicator.ts";

/**
 * This rank's rows of `length`: those from `from` up to, not including, `to`. Shards follow one another in the order of ranks, cover all rows,
 * and differ by one row at most; where there are fewer rows than ranks some are empty.
 *
 * @throws OptimError `invalid-option`
 */
export function shardOf(
  length: number,
  { rank, size }: Pick<Communicator, "rank" | "size">,
): { readonly from: number; readonly to: number } {
  checkSchema("invalid-option", "shardOf: length", length, integerFrom(0));
  const least = Math.floor(length / size);
  const longer = length % size;
  const from = rank * least + Math.min(rank, longer);
  return { from, to: from + least + (rank < longer ? 1 : 0) };
}
