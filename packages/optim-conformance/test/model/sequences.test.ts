import { expect, test } from "vitest";
import { brokenBackends, type BrokenBackend } from "../broken.ts";
import { referenceFactory } from "../../src/index.ts";
import { searchSequence } from "./sequences.ts";

test("reference: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  expect(await searchSequence(referenceFactory(), 500)).toBeUndefined();
});

test.each([
  "clips before it unscales",
  "sums over a window in place of the mean",
  "counts a skipped step",
  "moves the moments in a skipped step",
  "loads state by position",
  "drops the gradients in a step",
  "overwrites in place of adding up",
  "measures the norm of each parameter alone",
  "lets NaN through as a number",
  "takes a learning rate when it is made, and never again",
  "steps what is frozen",
])("a backend that %s is found, and the sequence is made short", async (fault) => {
  const { factory } = brokenBackends.find((broken) => broken.fault === fault) as BrokenBackend;
  const report = await searchSequence(factory, 500);
  expect(report).toMatch(/^Property failed after \d+ tests/);
  expect(report?.match(/"call":/g)?.length).toBeLessThan(10);
});
