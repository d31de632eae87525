import { expect, test } from "vitest";
import { compare } from "../.vitepress/theme/tables.mjs";

test("cells are ordered by their numbers, errors of conformance by the error, others by their letters", () => {
  expect(["10.5", "9", "≤ 1.1"].sort(compare)).toEqual(["≤ 1.1", "9", "10.5"]);
  expect(["12/12, 7.3e-7", "2/2, 2.8e-6", "9/9, 0"].sort(compare)).toEqual([
    "9/9, 0",
    "12/12, 7.3e-7",
    "2/2, 2.8e-6",
  ]);
  expect(["sgd", "adam"].sort(compare)).toEqual(["adam", "sgd"]);
});
