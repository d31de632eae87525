// The model of cost in docs/several-machines.md.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allReduceSeconds, efficiency, picture, written } from "../../../scripts/cost-of-ranks.mjs";

const docs = new URL("../../../docs/", import.meta.url);

test("the page has the table and the picture of the model", async () => {
  expect(readFileSync(new URL("several-machines.md", docs), "utf8")).toBe(await written());
  expect(readFileSync(new URL("images/cost-of-ranks.svg", docs), "utf8")).toBe(picture());
});

test("the model is alpha and beta", () => {
  // 2 log₂ 4 = 4 rounds of 1 ms, and 2 · 3/4 of 1,000 bytes at 1,000 bytes a second.
  expect(allReduceSeconds({ alpha: 1e-3, bandwidth: 1000 }, 1000, 4)).toBeCloseTo(1.504, 12);
  // 25 million floats over two ranks at 125 MB/s are 0.8 s, and two rounds of 50 µs; beside 0.25 s of work.
  expect(efficiency({ network: "1 Gbit/s, TCP", bytes: 4, every: 1 }, 2)).toBeCloseTo(0.25 / 1.0501, 12);
});
