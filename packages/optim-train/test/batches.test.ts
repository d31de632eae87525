import { type Batch, createBatches } from "@mm/optim-train";
import { describe, expect, test } from "vitest";
import { sfc32, shuffled } from "../src/shuffle.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const take = (count: number, batches: { next(): Batch }) =>
  Array.from({ length: count }, () => {
    const { indices, ...rest } = batches.next();
    return { indices: [...indices], ...rest };
  });

describe("the order", () => {
  test("is that of sfc32 and of Fisher and Yates", () => {
    // By a program in Python with numbers of any length, from PractRand's source.
    const next = sfc32(1, 2, 3);
    expect(Array.from({ length: 6 }, next)).toEqual([
      3987121759, 92551270, 1122162139, 24194941, 3548292025, 428635494,
    ]);
    expect([...shuffled(10, 7, 0)]).toEqual([3, 4, 0, 1, 9, 8, 7, 2, 5, 6]);
    expect([...shuffled(10, 7, 1)]).toEqual([3, 7, 1, 2, 5, 6, 4, 8, 0, 9]);
    // Both halves of a seed count.
    expect([...shuffled(10, 2 ** 32 + 7, 0)]).toEqual([4, 0, 8, 9, 1, 5, 7, 2, 6, 3]);
  });

  test("has every sample once, and differs from epoch to epoch", () => {
    const [batches, same] = [0, 1].map(() => createBatches({ count: 100, size: 7, seed: 1 }));
    const epochs = [0, 1, 2].map((epoch) => {
      const all = take(15, batches as typeof batches & { next(): Batch });
      expect(all).toEqual(take(15, same as { next(): Batch }));
      expect(all.every((batch) => batch.epoch === epoch)).toBe(true);
      expect(all.map(({ last }) => last)).toEqual([...Array.from({ length: 14 }, () => false), true]);
      return all.flatMap(({ indices }) => indices);
    });
    for (const order of epochs) {
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    }
    expect(new Set(epochs.map(String)).size).toBe(3);
  });

  test("may be that of the samples, and without the short batch", () => {
    const inOrder = createBatches({ count: 5, size: 2, shuffle: false });
    expect(take(4, inOrder)).toEqual([
      { indices: [0, 1], size: 2, epoch: 0, last: false },
      { indices: [2, 3], size: 2, epoch: 0, last: false },
      { indices: [4], size: 1, epoch: 0, last: true },
      { indices: [0, 1], size: 2, epoch: 1, last: false },
    ]);
    const whole = createBatches({ count: 5, size: 2, shuffle: false, dropLast: true });
    expect([whole.perEpoch, inOrder.perEpoch]).toEqual([2, 3]);
    expect(take(2, whole)[1]).toEqual({ indices: [2, 3], size: 2, epoch: 0, last: true });
  });
});

test("ranks share every batch: together they have those of one rank, in its order", () => {
  const whole = createBatches({ count: 11, size: 4, seed: 5 });
  const ranks = [0, 1, 2].map((rank) =>
    createBatches({ count: 11, size: 4, seed: 5, ranks: { rank, size: 3 } }),
  );
  for (const { indices, ...rest } of take(6, whole)) {
    const shares = ranks.map((one) => one.next());
    expect(shares.flatMap((share) => [...share.indices])).toEqual(indices);
    expect(shares.map(({ size, epoch, last }) => ({ size, epoch, last }))).toEqual([rest, rest, rest]);
    const lengths = shares.map((share) => share.indices.length);
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
  }
  // The short batch of 3 among 4 ranks: one has nothing.
  const many = [0, 1, 2, 3].map(
    (rank) => createBatches({ count: 3, size: 4, ranks: { rank, size: 4 } }).next().indices.length,
  );
  expect(many).toEqual([1, 1, 1, 0]);
});

describe("the state", () => {
  const make = (seed = 3) => createBatches({ count: 10, size: 3, seed });

  test("is a place, from which the same batches follow, on any number of ranks", () => {
    for (let place = 0; place < 9; place += 1) {
      const first = make();
      take(place, first);
      const state: unknown = JSON.parse(JSON.stringify(first.stateDict()));
      const second = make();
      take(5, second);
      void second.loadStateDict(state);
      const ranked = createBatches({ count: 10, size: 3, seed: 3, ranks: { rank: 0, size: 1 } });
      void ranked.loadStateDict(state);
      expect(take(6, second)).toEqual(take(6, first));
      expect(ranked.stateDict()).toEqual(state);
    }
  });

  test("of other batches is refused, and nothing has changed", () => {
    const batches = make();
    const state = make(4).stateDict();
    expect(thrownBy(() => batches.loadStateDict(state)).message).toBe("batches.seed: expected 3, got 4");
    for (const wrong of [
      undefined,
      {},
      { ...(batches.stateDict() as object), at: 4 },
      { epoch: -1, at: 0 },
    ]) {
      expect(thrownBy(() => batches.loadStateDict(wrong)).code).toBe("invalid-state");
    }
    expect(batches.stateDict()).toEqual(make().stateDict());
  });
});

test.each<readonly [object, string]>([
  [{ count: 0, size: 1 }, "createBatches.count: expected an integer of at least 1, got 0"],
  [{ count: 1, size: 1.5 }, "createBatches.size: expected an integer of at least 1, got 1.5"],
  [{ count: 1, size: 2, dropLast: true }, "createBatches: size: expected at most 1 with dropLast, got 2"],
  [{ count: 1, size: 1, seed: -1 }, "createBatches.seed: expected an integer of at least 0, got -1"],
  [
    { count: 1, size: 1, shufle: true },
    "createBatches: expected one of count, size, seed, shuffle, dropLast, ranks",
  ],
  [
    { count: 1, size: 1, ranks: { rank: 2, size: 2 } },
    "createBatches: ranks.rank: expected a rank below 2, got 2",
  ],
  [{ count: 1, size: 1, ranks: {} }, "createBatches: ranks.size: expected an integer of at least 1"],
])("createBatches refuses %j", (options, message) => {
  expect(thrownBy(() => createBatches(options as never)).message.slice(0, message.length)).toBe(message);
});
