import type { Optimizer } from "@mm/optim-core";
import { adamw, asgd, cautious, ema, lookahead, sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

/** The parameter while the model is evaluated. */
function pointOf(
  optimizer: Pick<Optimizer<never, unknown>, "swapIn" | "swapOut">,
  w: Float32Array,
): number[] {
  optimizer.swapIn();
  const point = [...w];
  optimizer.swapOut();
  return point;
}

test("begins at the initial parameters, and follows them", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.75 }), { w });
  expect(pointOf(optimizer, w)).toEqual([1]); // no step yet: the parameter

  stepWith(optimizer, { w: [4] }); // θ = 0.6, x = 0.75·1 + 0.25·0.6 = 0.9
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.9, 6);
  stepWith(optimizer, { w: [1] }); // θ = 0.5, x = 0.75·0.9 + 0.25·0.5 = 0.8
  stepWith(optimizer, { w: [3] }); // θ = 0.2, x = 0.75·0.8 + 0.25·0.2 = 0.65
  expect(w[0]).toBeCloseTo(0.2, 6);
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.65, 6);
  expect(w[0]).toBeCloseTo(0.2, 6);

  optimizer.paramGroups[0].emaDecay = 0.5;
  stepWith(optimizer, { w: [0] }); // x = 0.5·0.65 + 0.5·0.2
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.425, 6);
});

test("may wait: until emaBegin it is the parameter, as AveragedModel is after its first update", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.75, emaBegin: 2 }), { w });
  for (const theta of [0.9, 0.8]) {
    stepWith(optimizer, { w: [1] });
    expect(pointOf(optimizer, w)[0]).toBeCloseTo(theta, 6);
  }
  stepWith(optimizer, { w: [4] }); // θ = 0.4, x = 0.75·0.8 + 0.25·0.4
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.7, 6);
});

test("warms up: the n-th average is taken with at most (n − 1)/(γ + n − 1)", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.6, emaWarmup: 1 }), { w });
  stepWith(optimizer, { w: [1] }); // 0/1: x = θ = 0.9
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.9, 6);
  stepWith(optimizer, { w: [2] }); // 1/2: x = 0.5·0.9 + 0.5·0.7 = 0.8
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.8, 6);
  stepWith(optimizer, { w: [0] }); // 2/3 is more than 0.6: x = 0.6·0.8 + 0.4·0.7
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.76, 6);
});

test("averages after every so many steps, counted from its beginning", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.5, emaEvery: 2, emaBegin: 1 }), { w });
  const points: number[] = [];
  for (let step = 0; step < 5; step += 1) {
    stepWith(optimizer, { w: [1] });
    points.push(...pointOf(optimizer, w));
  }
  // θ = 0.9, 0.8, 0.7, 0.6, 0.5. Step 1 is before the beginning; after 3 and 5: 0.5·0.9 + 0.5·0.7, 0.5·0.8 + 0.5·0.5.
  for (const [index, x] of [0.9, 0.9, 0.8, 0.8, 0.65].entries()) expect(points[index]).toBeCloseTo(x, 6);
  expect((await optimizer.stateDict()).params[0]?.scalarSlots).toEqual({ stepsSinceEma: 0 });
});

test("with emaEvery the warm-up counts averages, not steps", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 1, emaWarmup: 1, emaEvery: 2 }), { w });
  for (let step = 0; step < 4; step += 1) stepWith(optimizer, { w: [1] });
  // After 2 steps 0/1: x = 0.8; after 4 steps 1/2: x = 0.5·0.8 + 0.5·0.6.
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.7, 6);
});

test("does not change the rule: the same parameters and slots to the bit", async () => {
  const [plain, averaged] = [Float32Array.from(numbers(5, 1)), Float32Array.from(numbers(5, 1))];
  const one = arrayOptimizer(adamw({ lr: 0.02 }), { w: plain });
  const other = arrayOptimizer(ema(adamw({ lr: 0.02 })), { w: averaged });
  for (let step = 0; step < 5; step += 1) {
    stepWith(one, { w: numbers(5, step) });
    stepWith(other, { w: numbers(5, step) });
    pointOf(other, averaged);
  }
  expect(averaged).toEqual(plain);
  const { slots } = (await other.stateDict()).params[0] ?? {};
  expect(slots).toMatchObject((await one.stateDict()).params[0]?.slots ?? {});
});

test("is read alone with readSlots", async () => {
  const [w, still] = [Float32Array.of(1), Float32Array.of(7)];
  const optimizer = arrayOptimizer(ema(adamw(), { emaDecay: 0 }), { w, still });
  stepWith(optimizer, { w: [1] });
  expect({ ...(await optimizer.readSlots(["ema"])).ema }).toEqual({ w: w.slice() });
});

test("joins a run that had none: the average begins at the parameter of the next step", async () => {
  const w = Float32Array.of(1);
  const before = arrayOptimizer(sgd({ lr: 0.1, momentum: 0.5 }), { w });
  stepWith(before, { w: [1] }); // θ = 0.9, b = 1
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1, momentum: 0.5 }), { emaDecay: 0.5 }), { w });
  const load = optimizer.prepareLoad(await before.stateDict(), { strict: false });
  expect(load.commit()).toMatchObject({
    missing: ["w.ema"],
    defaulted: ["emaDecay", "emaWarmup", "emaBegin", "emaEvery"].map((name) => `group "0".${name}`),
  });
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.9, 6);
  stepWith(optimizer, { w: [1] }); // b = 1.5: θ = 0.75, x = (0.9 + 0.75)/2
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.825, 6);
});

test("goes around cautious and lookahead, and lookahead around it; the outermost is evaluated", () => {
  for (const rule of [
    ema(cautious(sgd({ lr: 0.1 })), { emaDecay: 0.5 }),
    ema(lookahead(sgd({ lr: 0.1 }), { syncPeriod: 1 }), { emaDecay: 0.5 }),
    lookahead(ema(sgd({ lr: 0.1 }), { emaDecay: 0.5 }), { syncPeriod: 1 }),
  ]) {
    const w = Float32Array.of(1);
    const optimizer = arrayOptimizer(rule, { w });
    stepWith(optimizer, { w: [1] }); // each of them: half of 0.1
    expect(w[0]).toBeCloseTo(0.95, 6);
    // (1 + 0.95)/2; or the slow weights, which are the parameter after a sync.
    expect(pointOf(optimizer, w)[0]).toBeCloseTo(rule.name.startsWith("Lookahead") ? 0.95 : 0.975, 6);
  }
});

test("a decay of 1, where some schedules end, leaves the average where it is", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0 }), { w });
  stepWith(optimizer, { w: [1] }); // θ = x = 0.9
  optimizer.paramGroups[0].emaDecay = 1;
  stepWith(optimizer, { w: [1] }); // θ = 0.8
  expect(w[0]).toBeCloseTo(0.8, 6);
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.9, 6);
});

test("averaged SGD is evaluated at its own average", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(asgd({ lr: 0.1, lambd: 0, t0: 1 }), { w });
  for (let step = 0; step < 4; step += 1) stepWith(optimizer, { w: [1] });
  // θ = 0.9, 0.8, 0.7, 0.6; μ = 1, 1, 1, 1/2: x = 0.7, then the mean of 0.7 and 0.6.
  expect(w[0]).toBeCloseTo(0.6, 6);
  expect(pointOf(optimizer, w)[0]).toBeCloseTo(0.65, 6);
});

test("refuses what makes no sense, by name", () => {
  for (const wrong of [
    { emaDecay: 1.01 },
    { emaDecay: -0.1 },
    { emaWarmup: -1 },
    { emaBegin: 0.5 },
    { emaBegin: -1 },
    { emaEvery: 0 },
    { emaEvery: 1.5 },
  ]) {
    expect(() => ema(sgd(), wrong)).toThrow(
      expect.objectContaining({
        code: "invalid-hyperparameter",
        message: expect.stringContaining(Object.keys(wrong)[0] as string) as unknown,
      }),
    );
  }
  expect(() => ema(sgd(), { decay: 0.9 } as never)).toThrow(
    expect.objectContaining({ code: "unknown-option" }),
  );
  expect(() => ema(ema(sgd()))).toThrow(expect.objectContaining({ code: "invalid-rule" }));
  const optimizer = arrayOptimizer(ema(sgd()), { w: Float32Array.of(1) });
  expect(() => (optimizer.paramGroups[0].lr = -1)).toThrow(
    expect.objectContaining({ code: "invalid-hyperparameter" }),
  );
});
