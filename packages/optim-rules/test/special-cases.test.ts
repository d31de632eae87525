import {
  adagrad,
  adamw,
  adan,
  asgd,
  lamb,
  lars,
  novograd,
  radam,
  rmsprop,
  rprop,
  sgd,
} from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

describe("SGD's momentum buffer", () => {
  test("takes the first gradient whole, whenever momentum is switched on, and goes on when it is switched on again", async () => {
    const w = Float32Array.of(1);
    const optimizer = arrayOptimizer(sgd({ lr: 0.1, dampening: 0.5 }), { w });
    const [group] = optimizer.paramGroups;
    stepWith(optimizer, { w: [1] }); // 1 − 0.1·1 = 0.9: no momentum, so no dampening either
    expect((await optimizer.stateDict()).params[0]?.slots).toEqual({});

    group.momentum = 0.5;
    stepWith(optimizer, { w: [2] }); // b = 2 whole: 0.9 − 0.2 = 0.7
    stepWith(optimizer, { w: [4] }); // b = 0.5·2 + 0.5·4 = 3: 0.7 − 0.3 = 0.4
    expect(w[0]).toBeCloseTo(0.4, 6);

    group.momentum = 0;
    stepWith(optimizer, { w: [1] }); // 0.4 − 0.1 = 0.3; b stays 3
    group.momentum = 0.5;
    stepWith(optimizer, { w: [1] }); // b = 0.5·3 + 0.5·1 = 2: 0.3 − 0.2 = 0.1
    expect(w[0]).toBeCloseTo(0.1, 6);
  });

  test("starts by itself for each parameter", () => {
    const [a, b] = [Float32Array.of(1), Float32Array.of(1)];
    const optimizer = arrayOptimizer(sgd({ lr: 0.1, momentum: 0.5, dampening: 0.5 }), { a, b });
    stepWith(optimizer, { a: [1] }); // a: b = 1, 0.9
    stepWith(optimizer, { a: [1], b: [1] }); // a: b = 0.5 + 0.5 = 1, 0.8.  b: its first, 1 whole, 0.9
    expect(a[0]).toBeCloseTo(0.8, 6);
    expect(b[0]).toBeCloseTo(0.9, 6);
  });
});

test("centred RMSprop stays finite where v − a² rounds below 0", () => {
  // A gradient that stays: v and a² both tend to g². In float32, some of these differences come out negative:
  const alpha = Math.fround(0.9);
  const beta = Math.fround(1 - 0.9);
  const gradients = Float32Array.from({ length: 32 }, (_, i) => 0.1 + 0.01 * i);
  let negative = 0;
  for (const g of gradients) {
    let [v, a] = [0, 0];
    for (let step = 0; step < 300; step += 1) {
      v = Math.fround(Math.fround(alpha * v) + Math.fround(beta * Math.fround(g * g)));
      a = Math.fround(Math.fround(alpha * a) + Math.fround(beta * g));
      if (v - Math.fround(a * a) < 0) negative += 1;
    }
  }
  expect(negative).toBeGreaterThan(0);

  const w = new Float32Array(gradients.length);
  const optimizer = arrayOptimizer(rmsprop({ alpha: 0.9, centered: true }), { w });
  for (let step = 0; step < 300; step += 1) stepWith(optimizer, { w: gradients });
  expect([...w].every(Number.isFinite)).toBe(true);
});

test("RAdam rectifies from the step where ρ passes 5: the sixth, with β₂ = 0.999", () => {
  // ρ₅ = 4.996, ρ₆ = 5.994. Without rectification a gradient that stays moves lr·g; with it, r·√(1 − β₂⁶)/√v is far from 1/g.
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(radam({ lr: 0.1 }), { w });
  const moves: number[] = [];
  for (let step = 0; step < 6; step += 1) {
    const before = w[0] as number;
    stepWith(optimizer, { w: [0.5] });
    moves.push(before - (w[0] as number));
  }
  for (const move of moves.slice(0, 5)) expect(move).toBeCloseTo(0.05, 6);
  // m̂ = 0.5, √v̂ = 0.5: the move is lr·r₆. By hand: ρ = 1999 − 12·0.999⁶/(1 − 0.999⁶) = 5.99417,
  // r = √(1.99417·3.99417·1999/(1995·1997·5.99417)) = √(15922.1/23880806) = 0.0258212
  expect(moves[5]).toBeCloseTo(0.00258212, 6);
});

test("Rprop and Adagrad read what their slots start from at the first step, and not later", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(rprop({ lr: 0.1 }), { w });
  optimizer.paramGroups[0].lr = 0.2;
  stepWith(optimizer, { w: [1] }); // 1 − 0.2
  optimizer.paramGroups[0].lr = 5;
  stepWith(optimizer, { w: [1] }); // 0.8 − 0.24
  expect(w[0]).toBeCloseTo(0.56, 6);

  const accumulating = arrayOptimizer(adagrad({ initialAccumulatorValue: 2 }), { w });
  stepWith(accumulating, { w: [1] });
  accumulating.paramGroups[0].initialAccumulatorValue = 9;
  stepWith(accumulating, { w: [1] });
  expect((await accumulating.stateDict()).params[0]?.slots["sum"]).toEqual(Float32Array.of(4)); // 2 + 1 + 1
});

test("Rprop's sizes may shrink to 0, and stay there", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(rprop({ lr: 0.1, stepSizes: [0, 50] }), { w });
  stepWith(optimizer, { w: [1] }); // 0.1
  for (let step = 0; step < 400; step += 1) stepWith(optimizer, { w: [step % 2 === 0 ? -1 : 1] });
  // The sign turns at every other step, since the step after a turn has none: 200 halvings, below the smallest float32.
  const settled = w[0] as number;
  stepWith(optimizer, { w: [1] });
  stepWith(optimizer, { w: [1] });
  expect(w[0]).toBe(settled);
});

test("ASGD takes a new learning rate one step later, as PyTorch", () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(asgd({ lr: 0.1, lambd: 0 }), { w });
  stepWith(optimizer, { w: [1] }); // η₁ = 0.1
  optimizer.paramGroups[0].lr = 0.2;
  stepWith(optimizer, { w: [1] }); // η₂ was set by the step before: 0.1
  expect(w[0]).toBeCloseTo(0.8, 6);
  stepWith(optimizer, { w: [1] }); // 0.2
  expect(w[0]).toBeCloseTo(0.6, 6);
});

test("ASGD's average is the parameter, to the bit, until averaging begins", async () => {
  const [before, now] = [Float32Array.from(numbers(32, 1)), Float32Array.from(numbers(32, 2))];
  const w = before.slice();
  const optimizer = arrayOptimizer(asgd({ lambd: 0 }), { w });
  const still = { w: new Float32Array(32) };
  stepWith(optimizer, still); // x = θ
  optimizer.writeParameters({ w: now });
  stepWith(optimizer, still);
  // x + (θ − x)·1 would have rounded some elements away from θ:
  expect(before.map((x, i) => x + Math.fround((now[i] as number) - x))).not.toEqual(now);
  expect((await optimizer.stateDict()).params[0]?.slots["ax"]).toEqual(now);
});

test("Adan reads no gradient before the first: what the slot holds then does not matter", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(adan({ lr: 0.1 }), { w });
  stepWith(optimizer, { w: [0.5] });
  const [saved] = (await optimizer.stateDict()).params;
  expect(saved?.slots["expAvgDiff"]).toEqual(Float32Array.of(0));
  expect(saved?.slots["prev"]).toEqual(Float32Array.of(0.5));
});

test("LAMB and LARS take the ratio 1 where a norm is 0", () => {
  // θ = 0: r = 1 for LAMB, a step of 0.1; for LARS d = 0.1·(0.5 + 0) = 0.05
  const zero = Float32Array.of(0);
  stepWith(arrayOptimizer(lamb({ lr: 0.1, eps: 0 }), { w: zero }), { w: [0.5] });
  expect(zero[0]).toBeCloseTo(-0.1, 6);
  const other = Float32Array.of(0);
  stepWith(arrayOptimizer(lars({ lr: 0.1 }), { w: other }), { w: [0.5] });
  expect(other[0]).toBeCloseTo(-0.05, 6);
  // g = 0: LARS decays by lr·1·λθ = 0.1·0.5·2
  const still = Float32Array.of(2);
  stepWith(arrayOptimizer(lars({ lr: 0.1, weightDecay: 0.5 }), { w: still }), { w: [0] });
  expect(still[0]).toBeCloseTo(1.9, 6);
});

test("NovoGrad begins its average with the first gradient that is not 0", async () => {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(novograd({ lr: 0.1, betas: [0, 0.98] }), { w });
  stepWith(optimizer, { w: [0] }); // v = 0: 0/(0 + ε) = 0
  expect(w[0]).toBe(1);
  stepWith(optimizer, { w: [3] }); // v = 9, not 0.02·9: 3/3
  expect(w[0]).toBeCloseTo(0.9, 6);
  expect((await optimizer.stateDict()).params[0]?.scalarSlots["expAvgSq"]).toBe(9);
});

test("β₂ near 1 keeps its digits, because scalars are float64", () => {
  // 1 − 0.999999 in float32 is 1.013e-6, 1.3 % off. Both corrections cancel against the averages: the first move is lr.
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(adamw({ lr: 0.1, betas: [0.9, 0.999999], weightDecay: 0 }), { w });
  stepWith(optimizer, { w: [0.5] });
  expect(w[0]).toBeCloseTo(0.9, 6);
});
