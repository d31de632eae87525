import { shardOf } from "@mm/optim-distributed";
import { expect, test } from "vitest";

const shards = (length: number, size: number) =>
  Array.from({ length: size }, (_, rank) => shardOf(length, { rank, size }));

test("rows are divided in order, by one row more at most", () => {
  // 7 = 3 + 2 + 2.
  expect(shards(7, 3)).toEqual([
    { from: 0, to: 3 },
    { from: 3, to: 5 },
    { from: 5, to: 7 },
  ]);
});

test("with fewer rows than ranks some have none", () => {
  expect(shards(2, 4).map(({ from, to }) => to - from)).toEqual([1, 1, 0, 0]);
});

test("shards cover all rows once, whatever the numbers", () => {
  for (let length = 0; length < 40; length += 1) {
    for (let size = 1; size < 9; size += 1) {
      const all = shards(length, size);
      expect(
        all.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, index) => from + index)),
      ).toEqual(Array.from({ length }, (_, index) => index));
    }
  }
});

test("refuses what is no count", () => {
  expect(() => shardOf(1.5, { rank: 0, size: 2 })).toThrow(
    expect.objectContaining({ code: "invalid-option" }),
  );
});
