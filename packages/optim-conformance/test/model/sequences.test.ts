import { expect, test } from "vitest";
import { brokenBackends, type BrokenBackend, withOptimizer } from "../broken.ts";
import { referenceFactory } from "../../src/index.ts";
import { searchSeeded, searchSequence } from "./sequences.ts";
import { searchTogether } from "./together.ts";

test("reference: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  expect(await searchSequence(referenceFactory(), 500)).toBeUndefined();
});

test("reference: slots per row and a number of all tensors, too", async () => {
  expect(await searchTogether(referenceFactory(), 300)).toBeUndefined();
});

test.each(["steps what is frozen", "moves the moments in a skipped step"])(
  "a backend that %s is found by them, too",
  async (fault) => {
    const { factory } = brokenBackends.find((broken) => broken.fault === fault) as BrokenBackend;
    expect(await searchTogether(factory, 300)).toBeDefined();
  },
);

test.each([
  "says that its device decides, and decides at once",
  "clips before it unscales",
  "sums over a window in place of the mean",
  "counts a skipped step",
  "moves the moments in a skipped step",
  "loads state by position",
  "stops half way through a load",
  "zeroes gradients in place of forgetting them",
  "drops the gradients in a step",
  "overwrites in place of adding up",
  "measures the norm of each parameter alone",
  "checks after clipping by value",
  "unscales by the scale of the moment",
  "lets NaN through as a number",
  "hands out its own memory as a snapshot",
  "leaks one buffer at its end",
  "leaks one buffer a backward",
  "takes a learning rate when it is made, and never again",
  "throws errors without a code",
  "works on after its end",
  "steps what is frozen",
])("a backend that %s is found, and the sequence is made short", async (fault) => {
  const { factory } = brokenBackends.find((broken) => broken.fault === fault) as BrokenBackend;
  expect(await callsThatFind(factory)).toBeLessThan(10);
});

test.each<readonly [string, BrokenBackend["factory"]]>([
  ["lets a closure call it", withOptimizer(() => ({ guard: () => {} }))],
  ["stays where a model was evaluated", withOptimizer(() => ({ swapOut: () => {} }))],
  ["evaluates where it is", withOptimizer(() => ({ swapIn: () => {} }))],
  ["returns the promise of a context", withOptimizer(() => ({ context: (_, run) => run() }))],
  [
    "saves pending gradients that were to be left out",
    withOptimizer((optimizer) => ({ stateDict: () => optimizer.stateDict() })),
  ],
  ...(["hyperparameters", "counts", "pending", "frozen"] as const).map(
    (part) =>
      [
        `loads ${part} that were to be left out`,
        withOptimizer((optimizer) => ({
          prepareLoad: (state, options = {}, committed) =>
            optimizer.prepareLoad(
              state,
              { ...options, restore: { ...options.restore, [part]: true } },
              committed,
            ),
        })),
      ] as const,
  ),
  [
    "counts the steps of metrics from its last read",
    withOptimizer((optimizer) => {
      let told = 0;
      return {
        async readMetrics(scaler) {
          const metrics = await optimizer.readMetrics(scaler);
          const steps = metrics.steps - told;
          told = metrics.steps;
          return { ...metrics, steps };
        },
      };
    }),
  ],
])("an optimizer that %s is found, and the sequence is made short", async (_, factory) => {
  expect(await callsThatFind(factory)).toBeLessThan(10);
});

/** How many calls are left of the sequence that finds the fault; `undefined` where none does. */
async function callsThatFind(factory: BrokenBackend["factory"]): Promise<number | undefined> {
  return (await searchSeeded(factory, 1000))?.match(/"call":/g)?.length;
}
