import { adamw, lookahead, sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

test("k steps forward, one step back; a model is evaluated at the slow weights", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(lookahead(sgd({ lr: 0.1 }), { syncPeriod: 3, slowStepSize: 0.5 }), { w });
  const slow = (): number => {
    optimizer.swapIn();
    const [point = Number.NaN] = w;
    optimizer.swapOut();
    return point;
  };
  expect(slow()).toBe(1);

  stepWith(optimizer, { w: [1] }); // 0.9
  stepWith(optimizer, { w: [1] }); // 0.8
  expect(w[0]).toBeCloseTo(0.8, 6);
  expect(slow()).toBe(1);
  stepWith(optimizer, { w: [2] }); // 0.6, then φ = 1 + 0.5·(0.6 − 1) = 0.8 = θ
  expect(w[0]).toBeCloseTo(0.8, 6);
  expect(slow()).toBe(w[0]);

  stepWith(optimizer, { w: [1] }); // 0.7: a new period, from φ = 0.8
  expect(w[0]).toBeCloseTo(0.7, 6);
  expect(slow()).toBeCloseTo(0.8, 6);
});

test("the period may change in its middle", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(lookahead(sgd({ lr: 0.1 }), { syncPeriod: 5 }), { w });
  for (let step = 0; step < 3; step += 1) stepWith(optimizer, { w: [1] }); // 0.7
  optimizer.paramGroups[0].syncPeriod = 2;
  stepWith(optimizer, { w: [1] }); // 0.6; four steps are more than two: 1 + 0.5·(0.6 − 1) = 0.8
  expect(w[0]).toBeCloseTo(0.8, 6);
});

test("with AdamW inside: its moments go on through a sync, as in the paper's algorithm", async () => {
  const w = Float32Array.from(numbers(5, 1));
  const optimizer = arrayOptimizer(lookahead(adamw({ lr: 0.02 }), { syncPeriod: 4, slowStepSize: 0.8 }), {
    w,
  });
  // The same by hand, around a plain AdamW.
  const fast = Float32Array.from(numbers(5, 1));
  const plain = arrayOptimizer(adamw({ lr: 0.02 }), { w: fast });
  let phi = fast.slice();
  for (let step = 1; step <= 10; step += 1) {
    stepWith(optimizer, { w: numbers(5, step) });
    stepWith(plain, { w: numbers(5, step) });
    if (step % 4 === 0) {
      phi = phi.map((x, i) =>
        Math.fround(x + Math.fround(Math.fround(0.8) * Math.fround((fast[i] as number) - x))),
      );
      fast.set(phi);
    }
    expect(w).toEqual(fast);
  }
  expect((await optimizer.readSlots(["slow"])).slow["w"]).toEqual(phi);
});

test("parameters count their own steps, and a saved period goes on", async () => {
  const make = (a: Float32Array, b: Float32Array) =>
    arrayOptimizer(lookahead(sgd({ lr: 0.1 }), { syncPeriod: 2 }), { a, b });
  const [a, b] = [Float32Array.of(1), Float32Array.of(1)];
  const optimizer = make(a, b);
  stepWith(optimizer, { a: [1] });
  const resumed = make(a, b);
  resumed.prepareLoad(await optimizer.stateDict()).commit();
  stepWith(resumed, { a: [1], b: [1] }); // a: 0.8, its second: 0.9.  b: its first, 0.9
  expect(a[0]).toBeCloseTo(0.9, 6);
  expect(b[0]).toBeCloseTo(0.9, 6);
  stepWith(resumed, { b: [1] }); // b: 0.8, its second: 0.9
  expect(b[0]).toBeCloseTo(0.9, 6);
});

test("a step size of 0 takes the parameters back at every sync", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(lookahead(sgd({ lr: 0.1 }), { syncPeriod: 2, slowStepSize: 0 }), { w });
  stepWith(optimizer, { w: [1] });
  expect(w[0]).toBeCloseTo(0.9, 6);
  stepWith(optimizer, { w: [1] });
  expect(w[0]).toBe(1);
});

test.each([
  [{ syncPeriod: 0 }, "syncPeriod a positive integer"],
  [{ syncPeriod: 2.5 }, "syncPeriod a positive integer"],
  [{ slowStepSize: -0.1 }, "slowStepSize of at least 0 and at most 1"],
  [{ slowStepSize: 1.5 }, "slowStepSize of at least 0 and at most 1"],
])("refuses %j", (hyperparameters, words) => {
  expect(() => lookahead(sgd(), hyperparameters)).toThrow(
    expect.objectContaining({
      code: "invalid-hyperparameter",
      message: expect.stringContaining(words) as unknown,
    }),
  );
});

test("refuses to be taken twice", () => {
  expect(() => lookahead(lookahead(sgd()))).toThrow(expect.objectContaining({ code: "invalid-rule" }));
});
