import type { Optimizer } from "@mm/optim-core";
import { sgd, swa, type SwaHyperparameters } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";

function pointOf(optimizer: Pick<Optimizer<never, unknown>, "swapIn" | "swapOut">, w: Float32Array): number {
  optimizer.swapIn();
  const [point = Number.NaN] = w;
  optimizer.swapOut();
  return point;
}

/** The points after each of six steps, in which θ is 0.9, 0.8, …, 0.4. */
function pointsOf(options: Partial<SwaHyperparameters>): readonly number[] {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(swa(sgd({ lr: 0.1 }), options), { w });
  return Array.from({ length: 6 }, () => {
    stepWith(optimizer, { w: [1] });
    return pointOf(optimizer, w);
  });
}

test.each([
  // Means of 0.9; 0.9, 0.8; …
  [{}, [0.9, 0.85, 0.8, 0.75, 0.7, 0.65]],
  // The parameter up to step 3; then means of 0.6; 0.6, 0.5; …
  [{ swaBegin: 3 }, [0.9, 0.8, 0.7, 0.6, 0.55, 0.5]],
  // The parameter up to step 2, the first that is averaged; then with 0.6, and with 0.4.
  [{ swaEvery: 2 }, [0.9, 0.8, 0.8, 0.7, 0.7, 0.6]],
  // Steps 4 and 6.
  [{ swaBegin: 2, swaEvery: 2 }, [0.9, 0.8, 0.7, 0.6, 0.6, 0.5]],
])("the equal mean of the parameters, %j", (options, expected) => {
  const points = pointsOf(options);
  for (const [index, x] of expected.entries()) expect(points[index]).toBeCloseTo(x, 6);
});

test("a state carries the mean, and one without it lets it begin at the next step", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(swa(sgd({ lr: 0.1 })), { w });
  for (const _ of [1, 2]) stepWith(optimizer, { w: [1] }); // θ = 0.8, x = 0.85
  const resumed = arrayOptimizer(swa(sgd({ lr: 0.1 })), { w });
  resumed.prepareLoad(await optimizer.stateDict()).commit();
  expect(pointOf(resumed, w)).toBeCloseTo(0.85, 6);
  stepWith(resumed, { w: [1] }); // x = (0.9 + 0.8 + 0.7)/3
  expect(pointOf(resumed, w)).toBeCloseTo(0.8, 6);

  const plain = arrayOptimizer(sgd({ lr: 0.1 }), { w });
  stepWith(plain, { w: [1] }); // θ = 0.6
  resumed.prepareLoad(await plain.stateDict(), { strict: false }).commit();
  expect(pointOf(resumed, w)).toBeCloseTo(0.6, 6);
  stepWith(resumed, { w: [1] });
  stepWith(resumed, { w: [1] });
  expect(pointOf(resumed, w)).toBeCloseTo(0.45, 6);
});

test.each([
  [{ swaBegin: -1 }, "swaBegin an integer of at least 0"],
  [{ swaEvery: 0 }, "swaEvery an integer of at least 1"],
  [{ swaEvery: 2.5 }, "swaEvery an integer of at least 1"],
])("refuses %j", (options, words) => {
  expect(() => swa(sgd(), options)).toThrow(
    expect.objectContaining({
      code: "invalid-hyperparameter",
      message: expect.stringContaining(words) as unknown,
    }),
  );
});

test("refuses to be taken twice", () => {
  expect(() => swa(swa(sgd()))).toThrow(expect.objectContaining({ code: "invalid-rule" }));
});
