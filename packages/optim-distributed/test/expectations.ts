// The results of the cases of `cases/`, wherever the ranks are.
import { describe, expect, test } from "vitest";
import { type Comparison, iterations, setups } from "./cases/equality.ts";
import { expected } from "./cases/exchanges.ts";
import { differences } from "./cases/together.ts";
import type { Results } from "./cases/index.ts";

/** Sums of float32 in another order than one process's: a few units in the last place of numbers below 1, after 100 steps. */
const tolerance = 1e-6;

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly ranks: readonly number[];
}

/** @param of the results of each rank */
export function expectExchanges(of: () => readonly Results[], size: number): void {
  test("sums, copies, gathers and transposes, on each rank", () => {
    expect(of().map((results) => results["exchange"])).toEqual(
      of().map((_, rank) => expected(rank, size, true)),
    );
  });
  test("refuses buffers that it cannot send, and stays usable", () => {
    for (const { refusals } of of())
      expect(refusals).toEqual(Array.from({ length: 6 }, () => "invalid-option"));
  });
}

export function expectEquality(of: () => readonly Results[], kind: "arrays" | "arena"): void {
  test.each(Object.keys(setups))(
    `${kind}, %s: 100 steps as one process on the whole batch, replicas equal to the bit`,
    (name) => {
      const comparisons = of().map((results) => results[`${kind}: ${name}`] as Comparison);
      for (const { difference, largest, hash, steps } of comparisons) {
        expect(difference).toBeLessThanOrEqual(setups[name]?.tolerance ?? tolerance);
        expect(hash).toEqual(comparisons[0]?.hash);
        // That it trained at all.
        expect(largest).toBeGreaterThan(0.5);
        expect(steps).toBe(Math.ceil(iterations / (setups[name]?.options?.accumulativeCounts ?? 1)));
      }
    },
  );
}

export function expectTogether(of: () => readonly Results[], size: number): void {
  const last = size - 1;
  /** The results of a case on each rank, and those that are expected. */
  const found = (name: string): readonly unknown[] => of().map((results) => results[name]);
  const onAll = (value: unknown): readonly unknown[] => of().map(() => value);

  test("an overflow on one rank skips the step of all, and all back off", () => {
    // The mean of 0.25 (rank + 1) is 0.125 (size + 1): that much a step, of which the third is skipped.
    const step = 0.125 * (size + 1);
    const values = [1, 2, 2, 3, 4, 5].map((steps) => 1 - steps * step);
    expect(found("overflow")).toEqual(onAll({ values, metrics: { lossScale: 512, steps: 5, skipped: 1 } }));
  });

  test("a parameter with a gradient on one rank steps on all; one without on any does not", () => {
    // SGD with weight decay 0.5: 1 − (gradient + 0.5 · 1), where both gradients are 1 in the mean.
    const one = { values: [-0.5, -0.5, 1], steps: [1, 1, 0], updated: false };
    expect(found("oneRankOnly")).toEqual(onAll([one, one]));
  });

  test("in an arena ranks take turns with a gradient, and what one has left is nobody's next gradient", () => {
    // In even steps all count, 3 + (size − 1) in all, and in odd ones the rank whose turn it is: its gradient of 1 is 3 of those weights, or all.
    // The other's is 2 for all ranks, in even steps.
    const share = 3 / (size + 2);
    const values = [];
    for (let [step, turn, second] = [0, 0, 0]; step < 6; step += 1) {
      turn -= step % 2 === 0 ? share : 1;
      second -= step % 2 === 0 ? 2 : 0;
      values.push([expect.closeTo(turn, 5), second]);
    }
    expect(found("turns")).toEqual(onAll(values));
  });

  test("all ranks resume from the first one's file to the bit; a save in mid-window is refused", () => {
    const [first] = of().map((results) => results["resume"] as { readonly uninterrupted: unknown });
    expect(found("resume")).toEqual(
      onAll({
        uninterrupted: first?.uninterrupted,
        resumed: first?.uninterrupted,
        refused: "window-open",
      }),
    );
  });

  test("broadcastState starts all ranks from one", () => {
    expect(found("start")).toEqual(onAll(true));
  });

  if (size === 1) return;
  // With two ranks nobody can tell which of them differs.
  const odd = size === 2 ? [0, 1] : [last];

  describe("a rank that does otherwise is refused, on every rank", () => {
    test.each(differences)("another %s", (what) => {
      for (const [rank, { mismatches }] of of().entries()) {
        const { code, message, ranks } = (mismatches as { readonly [what: string]: Refusal })[
          what
        ] as Refusal;
        expect({ code, ranks }).toEqual({ code: "communication-mismatch", ranks: odd });
        expect(message).toContain(`rank ${rank}: distributed: expected the same`);
      }
    });
  });

  test("checkReplicas names the rank and the tensor of a flipped bit, and a learning rate that differs; broadcastState mends it", () => {
    for (const { flips } of of()) {
      const [before, flipped, mended, option, copied, lr] = flips as readonly unknown[];
      expect([before, mended, copied, lr]).toEqual(["equal", "equal", "equal", 0.02]);
      expect(flipped).toMatchObject({ code: "replicas-differ", ranks: odd, mismatched: ["second.w2"] });
      expect(option).toMatchObject({
        code: "replicas-differ",
        ranks: odd,
        mismatched: ["first: counts, hyperparameters, loss scale"],
      });
    }
  });
}
