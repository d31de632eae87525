import { adamw, averagedParameters, cautious, ema, lookahead, sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

test("starts as the parameters after the first step, then follows them", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.75 }), { w });
  expect([...((await averagedParameters(optimizer))["w"] ?? [])]).toEqual([1]); // no step yet: the parameter

  stepWith(optimizer, { w: [1] }); // θ = 0.9, x = 0.9
  expect((await averagedParameters(optimizer))["w"]?.[0]).toBeCloseTo(0.9, 6);
  stepWith(optimizer, { w: [4] }); // θ = 0.5, x = 0.75·0.9 + 0.25·0.5 = 0.8
  stepWith(optimizer, { w: [3] }); // θ = 0.2, x = 0.75·0.8 + 0.25·0.2 = 0.65
  expect(w[0]).toBeCloseTo(0.2, 6);
  expect((await averagedParameters(optimizer))["w"]?.[0]).toBeCloseTo(0.65, 6);

  optimizer.paramGroups[0].emaDecay = 0.5;
  stepWith(optimizer, { w: [0] }); // x = 0.5·0.65 + 0.5·0.2
  expect((await averagedParameters(optimizer))["w"]?.[0]).toBeCloseTo(0.425, 6);
});

test("does not change the rule: the same parameters and slots to the bit", async () => {
  const [plain, averaged] = [Float32Array.from(numbers(5, 1)), Float32Array.from(numbers(5, 1))];
  const one = arrayOptimizer(adamw({ lr: 0.02 }), { w: plain });
  const other = arrayOptimizer(ema(adamw({ lr: 0.02 })), { w: averaged });
  for (let step = 0; step < 5; step += 1) {
    stepWith(one, { w: numbers(5, step) });
    stepWith(other, { w: numbers(5, step) });
  }
  expect(averaged).toEqual(plain);
  const { slots } = (await other.stateDict()).params[0] ?? {};
  expect(slots).toMatchObject((await one.stateDict()).params[0]?.slots ?? {});
});

test("a snapshot is of the call, is the caller's, and leaves a parameter that never stepped as it is", async () => {
  const [w, still] = [Float32Array.of(1, 2), Float32Array.of(7)];
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 })), { w, still });
  stepWith(optimizer, { w: [1, 1] });
  const reading = averagedParameters(optimizer);
  stepWith(optimizer, { w: [9, 9] });
  const averages = await reading;
  expect(averages).toEqual(
    Object.assign(Object.create(null), { w: Float32Array.of(0.9, 1.9), still: Float32Array.of(7) }),
  );
  averages["w"]?.fill(0);
  expect(w[0]).toBeCloseTo(0, 6);
  expect((await averagedParameters(optimizer))["w"]?.[1]).toBeCloseTo(0.999 * 1.9 + 0.001 * 1, 6);
});

test("swaps in for an evaluation and back", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.5 }), { w });
  for (const gradient of [1, 2]) stepWith(optimizer, { w: [gradient] });
  const trained = await optimizer.readParameters();
  optimizer.writeParameters(await averagedParameters(optimizer));
  expect(w[0]).toBeCloseTo(0.8, 6); // (0.9 + 0.7)/2
  optimizer.writeParameters(trained);
  expect(w[0]).toBeCloseTo(0.7, 6);
});

test("joins a run that had none: the average starts at the next step", async () => {
  const w = Float32Array.of(1);
  const before = arrayOptimizer(sgd({ lr: 0.1, momentum: 0.5 }), { w });
  stepWith(before, { w: [1] }); // θ = 0.9, b = 1
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1, momentum: 0.5 })), { w });
  const load = optimizer.prepareLoad(await before.stateDict(), { strict: false });
  expect(load.commit()).toMatchObject({
    missing: ["w.ema", "w.emaStarted"],
    defaulted: ['group "0".emaDecay'],
  });
  expect((await averagedParameters(optimizer))["w"]?.[0]).toBeCloseTo(0.9, 6);
  stepWith(optimizer, { w: [1] }); // b = 1.5: θ = 0.75, and x = θ although it is the second step
  expect((await averagedParameters(optimizer))["w"]?.[0]).toBeCloseTo(0.75, 6);
});

test("goes around cautious and lookahead, and lookahead around it", async () => {
  for (const rule of [
    ema(cautious(sgd({ lr: 0.1 }))),
    ema(lookahead(sgd({ lr: 0.1 }), { syncPeriod: 1 })),
    lookahead(ema(sgd({ lr: 0.1 })), { syncPeriod: 1 }),
  ]) {
    const w = Float32Array.of(1);
    const optimizer = arrayOptimizer(rule, { w });
    stepWith(optimizer, { w: [1] }); // each of them: half of 0.1
    expect(w[0]).toBeCloseTo(0.95, 6);
    const averages = await averagedParameters(optimizer);
    // Around lookahead the average is of θ after the sync; inside of it, of the fast weights.
    expect(averages["w"]?.[0]).toBeCloseTo(rule.name.startsWith("Lookahead") ? 0.9 : 0.95, 6);
  }
});

test("a decay of 1, where some schedules end, leaves the average where it is", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(ema(sgd({ lr: 0.1 }), { emaDecay: 0.5 }), { w });
  stepWith(optimizer, { w: [1] }); // θ = x = 0.9
  optimizer.paramGroups[0].emaDecay = 1;
  stepWith(optimizer, { w: [1] }); // θ = 0.8
  expect(w[0]).toBeCloseTo(0.8, 6);
  expect((await averagedParameters(optimizer))["w"]?.[0]).toBeCloseTo(0.9, 6);
});

test("refuses what makes no sense, by name", async () => {
  for (const emaDecay of [1.01, -0.1]) {
    expect(() => ema(sgd(), { emaDecay })).toThrow(
      expect.objectContaining({ code: "invalid-hyperparameter" }),
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
  const plain = arrayOptimizer(sgd(), { w: Float32Array.of(1) });
  await expect(averagedParameters(plain)).rejects.toMatchObject({ code: "unsupported" });
});
