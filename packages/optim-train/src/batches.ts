import { refuse } from "@mm/optim-core/backend";
import { aBoolean, checkSchema, type Fields, integerFrom, isCount, type Test } from "@mm/optim-core/schema";
import { shuffled } from "./shuffle.ts";
import type { Stateful } from "./stateful.ts";

export interface BatchesOptions {
  /** How many samples there are. */
  readonly count: number;
  /** Samples in a batch; with `ranks`, in that of all ranks together. */
  readonly size: number;
  /** The order is a function of it and of the epoch. Default 0. */
  readonly seed?: number;
  /** Default `true`. */
  readonly shuffle?: boolean;
  /** Leaves out the last batch of an epoch where it is short. Default `false`. */
  readonly dropLast?: boolean;
  /** Each rank has its share of every batch, which differ by one sample at most: a communicator, or any rank and size. Default: one rank. */
  readonly ranks?: { readonly rank: number; readonly size: number };
}

export interface Batch {
  /** The samples of this rank; none where the batch has fewer samples than there are ranks. A view: valid until the next epoch. */
  readonly indices: Uint32Array;
  /** Samples of the batch on all ranks. */
  readonly size: number;
  /** From 0. */
  readonly epoch: number;
  /** Whether it is the last of its epoch. */
  readonly last: boolean;
}

/**
 * Batches without end, epoch after epoch. The order of an epoch is made anew from seed and epoch, so the state is a place: a resumed run goes on
 * in the middle of an epoch, on any number of ranks.
 */
export interface Batches extends Stateful {
  /** Batches in an epoch. */
  readonly perEpoch: number;
  next(): Batch;
}

const aSeed: Test = [isCount, "an integer of at least 0"];

const fields = (): Fields => ({
  fields: {
    count: integerFrom(1),
    size: integerFrom(1),
    "seed?": aSeed,
    "shuffle?": aBoolean,
    "dropLast?": aBoolean,
    "ranks?": [(value: unknown) => typeof value === "object" && value !== null, "a rank and a size"],
  },
});

/** @throws OptimError `invalid-option`, `unknown-option` */
export function createBatches(options: BatchesOptions): Batches {
  checkSchema("invalid-option", "createBatches", options, fields());
  const { count, size, seed = 0, shuffle = true, dropLast = false, ranks = { rank: 0, size: 1 } } = options;
  checkSchema("invalid-option", "createBatches: ranks.size", ranks.size, integerFrom(1));
  if (!isCount(ranks.rank) || ranks.rank >= ranks.size) {
    refuse("invalid-option", "createBatches: ranks.rank", `a rank below ${ranks.size}`, ranks.rank);
  }
  const perEpoch = dropLast ? Math.floor(count / size) : Math.ceil(count / size);
  if (perEpoch === 0) refuse("invalid-option", "createBatches: size", `at most ${count} with dropLast`, size);
  const { rank, size: parts } = ranks;
  const settings = { count, size, seed, shuffle, dropLast };
  let [epoch, at] = [0, 0];
  let order: Uint32Array | undefined;
  return {
    perEpoch,
    next() {
      order ??= shuffle
        ? shuffled(count, seed, epoch)
        : Uint32Array.from({ length: count }, (_, index) => index);
      const batch = order.subarray(at * size, (at + 1) * size);
      const share = (of: number): number => {
        const least = Math.floor(batch.length / parts);
        return of * least + Math.min(of, batch.length % parts);
      };
      const last = at + 1 === perEpoch;
      const result = {
        indices: batch.subarray(share(rank), share(rank + 1)),
        size: batch.length,
        epoch,
        last,
      };
      if (last) [epoch, at, order] = [epoch + 1, 0, undefined];
      else at += 1;
      return result;
    },
    stateDict: () => ({ ...settings, epoch, at }),
    loadStateDict(state) {
      checkSchema("invalid-state", "batches", state, {
        fields: { epoch: integerFrom(0), at: integerFrom(0) },
      });
      const saved = state as typeof settings & { readonly epoch: number; readonly at: number };
      for (const [name, value] of Object.entries(settings)) {
        const other = (saved as { readonly [name: string]: unknown })[name];
        if (other !== value) refuse("state-mismatch", `batches.${name}`, String(value), other);
      }
      if (saved.at >= perEpoch) refuse("invalid-state", "batches.at", `below ${perEpoch}`, saved.at);
      [epoch, at, order] = [saved.epoch, saved.at, undefined];
    },
  };
}
