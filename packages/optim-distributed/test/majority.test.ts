import { expect, test } from "vitest";
import { ranksThatDiffer } from "../src/majority.ts";

test.each([
  [["a", "a", "a"], []],
  [["a"], []],
  [["a", "b", "a"], [1]],
  [
    ["b", "a", "a", "c", "a"],
    [0, 3],
  ],
  // No value is that of more than half: nobody can tell.
  [
    ["a", "b"],
    [0, 1],
  ],
  [
    ["a", "a", "b", "b"],
    [0, 1, 2, 3],
  ],
])("of %j the ranks %j differ", (values, ranks) => {
  expect(ranksThatDiffer(values)).toEqual(ranks);
});
