import { add, defineUpdateRule, mul, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { adan, adamw, asgd, cautious, ema, lamb, lion, lookahead, sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

test("keeps the steps that go downhill, and makes them longer: C-Lion by hand", () => {
  // First step, lr 0.1: directions sign(g), all downhill: d/(‖φ‖₀ + 1) = 4/5, so each moves 0.08.
  const w = Float32Array.of(1, 1, 1, 1);
  const optimizer = arrayOptimizer(cautious(lion({ lr: 0.1 })), { w });
  stepWith(optimizer, { w: [5, 5, -5, -5] });
  expect([...w].map((x) => Number(x.toFixed(6)))).toEqual([0.92, 0.92, 1.08, 1.08]);
  // m = ±0.05. Directions 0.9m + 0.1g: 0.045 ∓ 0.04 > 0 against g in elements 0 and 3, with g in 1; g = 0 in 2 keeps nothing.
  // ‖φ‖₀ = 1: the one that is left moves 0.1·4/2 = 0.2.
  stepWith(optimizer, { w: [-0.4, 0.4, 0, 0.4] });
  expect([...w].map((x) => Number(x.toFixed(6)))).toEqual([0.92, 0.72, 1.08, 1.08]);
});

test("C-AdamW follows the paper, with weight decay on all elements, live changes and maximize", () => {
  for (const maximize of [false, true]) {
    const rule = adamw({ lr: 0.02, betas: [0.8, 0.9], weightDecay: 0.1, maximize });
    const w = Float32Array.from(numbers(9, 1));
    const optimizer = arrayOptimizer(cautious(rule), { w });
    let p = [...w];
    const [m, v] = [p.map(() => 0), p.map(() => 0)];
    let masked = 0;
    for (let t = 1; t <= 12; t += 1) {
      const lr = t < 6 ? 0.02 : 0.05;
      optimizer.paramGroups[0].lr = lr;
      const gradient = numbers(9, 100 + t);
      stepWith(optimizer, { w: gradient });

      const g = gradient.map((x) => (maximize ? -x : x));
      const u = g.map((x, i) => {
        m[i] = 0.8 * (m[i] ?? 0) + 0.2 * x;
        v[i] = 0.9 * (v[i] ?? 0) + 0.1 * x * x;
        return m[i] / (1 - 0.8 ** t) / (Math.sqrt(v[i] / (1 - 0.9 ** t)) + 1e-8);
      });
      const phi = u.map((x, i) => (x * (g[i] ?? 0) > 0 ? 1 : 0));
      const kept = phi.reduce<number>((sum, x) => sum + x, 0);
      masked += 9 - kept;
      p = p.map((x, i) => x * (1 - lr * 0.1) - lr * (9 / (kept + 1)) * (phi[i] ?? 0) * (u[i] ?? 0));
      // float32 against float64, as in the table of rules
      for (const [i, x] of p.entries())
        expect(Math.abs((w[i] as number) - x)).toBeLessThan(1e-6 * Math.max(1, Math.abs(x)));
    }
    expect(masked).toBeGreaterThan(10); // or this test would show nothing
  }
});

test("the authors' code divides by the mean of φ, kept above a floor", () => {
  // As above: d/‖φ‖₀ = 4/4, so each moves 0.1; then one of four is left, 0.1·4
  const w = Float32Array.of(1, 1, 1, 1);
  const optimizer = arrayOptimizer(cautious(lion({ lr: 0.1 }), { floor: 1e-3 }), { w });
  stepWith(optimizer, { w: [5, 5, -5, -5] });
  expect([...w].map((x) => Number(x.toFixed(6)))).toEqual([0.9, 0.9, 1.1, 1.1]);
  stepWith(optimizer, { w: [-0.4, 0.4, 0, 0.4] });
  expect([...w].map((x) => Number(x.toFixed(6)))).toEqual([0.9, 0.5, 1.1, 1.1]);
  // A mean of 1/4 is taken as 1/2: 0.1·2
  const floored = Float32Array.of(1, 1, 1, 1);
  const other = arrayOptimizer(cautious(lion({ lr: 0.1 }), { floor: 0.5 }), { w: floored });
  stepWith(other, { w: [5, 5, -5, -5] });
  stepWith(other, { w: [-0.4, 0.4, 0, 0.4] });
  expect([...floored].map((x) => Number(x.toFixed(6)))).toEqual([0.9, 0.7, 1.1, 1.1]);
  // Nothing goes downhill: nothing moves, and nothing is divided by 0.
  stepWith(other, { w: [0, 0, 0, 0] });
  expect([...floored].map((x) => Number(x.toFixed(6)))).toEqual([0.9, 0.7, 1.1, 1.1]);
});

test("steps that go uphill may keep a share", () => {
  // Second step: φ = (0.2, 1, 0.2, 0.2), of mean 0.4. Elements 0 and 3 go 0.1·0.2/0.4 uphill; 2 has sign −1 and g = 0: as uphill.
  const w = Float32Array.of(1, 1, 1, 1);
  const optimizer = arrayOptimizer(cautious(lion({ lr: 0.1 }), { floor: 1e-3, uphill: 0.2 }), { w });
  stepWith(optimizer, { w: [5, 5, -5, -5] });
  stepWith(optimizer, { w: [-0.4, 0.4, 0, 0.4] });
  expect([...w].map((x) => Number(x.toFixed(6)))).toEqual([0.85, 0.65, 1.15, 1.15]);
  // The paper's form: d/(Σφ + 1) = 4/2.6
  const paper = Float32Array.of(1, 1, 1, 1);
  const other = arrayOptimizer(cautious(lion({ lr: 0.1 }), { uphill: 0.2 }), { w: paper });
  stepWith(other, { w: [5, 5, -5, -5] }); // 0.1·4/5
  stepWith(other, { w: [-0.4, 0.4, 0, 0.4] });
  expect(paper[1]).toBeCloseTo(0.92 - (0.1 * 4) / 2.6, 6);
  expect(paper[0]).toBeCloseTo(0.92 - (0.1 * 0.2 * 4) / 2.6, 6);
});

test("the same options make the same definition, others another", () => {
  const rule = adamw();
  expect(cautious(rule, { floor: 1e-3 }).definition).toBe(cautious(rule, { floor: 1e-3 }).definition);
  expect(cautious(rule, { floor: 1e-3 }).definition).not.toBe(cautious(rule).definition);
  expect(cautious(rule, {}).definition).toBe(cautious(rule, { uphill: 0 }).definition);
});

test.each([[{ floor: 0 }], [{ floor: 1.5 }], [{ uphill: -0.1 }], [{ uphill: 2 }], [{ floor: Number.NaN }]])(
  "refuses %j",
  (options) => {
    expect(() => cautious(adamw(), options)).toThrow(expect.objectContaining({ code: "invalid-option" }));
  },
);

test("refuses an option that it does not know", () => {
  expect(() => cautious(adamw(), { factor: 1 } as never)).toThrow(
    expect.objectContaining({ code: "unknown-option" }),
  );
});

test("tells signs of products that are too small for float32", () => {
  // The step is 2⁻¹³ = 1.2e-4; times 1e-42 it is 0 in float32, and its sign is not.
  const w = Float32Array.of(0);
  stepWith(arrayOptimizer(cautious(lion({ lr: 2 ** -13 })), { w }), { w: [1e-42] });
  expect(w[0]).toBe(-(2 ** -14)); // 2⁻¹³·1/(1 + 1)
});

test("lets NaN through to its own element", () => {
  const w = Float32Array.of(1, 1);
  stepWith(arrayOptimizer(cautious(adamw({ lr: 0.1, weightDecay: 0 })), { w }), { w: [Number.NaN, 1] });
  expect(w[0]).toBeNaN();
  expect(w[1]).toBeCloseTo(0.9, 6); // 0.1·2/(1 + 1)
});

test("keeps name, hyperparameters and slots apart from the rule's own only in the name", async () => {
  const rule = adamw({ lr: 0.3 });
  const careful = cautious(rule);
  expect(careful.name).toBe("Cautious(AdamW)");
  expect(careful.hyperparameters).toEqual(rule.hyperparameters);
  expect(cautious(adamw()).definition).toBe(careful.definition); // so that kernels are compiled once
  const optimizer = arrayOptimizer(careful, { w: Float32Array.of(1) });
  stepWith(optimizer, { w: [1] });
  expect(Object.keys((await optimizer.stateDict()).params[0]?.slots ?? {})).toEqual(["expAvg", "expAvgSq"]);
});

test("passes a scalar slot on that is a plain number", async () => {
  const counting: UpdateRuleFactory<{ lr: number }> = defineUpdateRule({
    name: "Counting",
    hyperparameters: { lr: 1 },
    scalarSlots: () => ({ started: 0 }),
    update: ({ param, grad }, { lr }) => ({ param: sub(param, mul(lr, grad)), started: 1 }),
  });
  const w = Float32Array.of(3);
  const optimizer = arrayOptimizer(cautious(counting()), { w });
  stepWith(optimizer, { w: [1] });
  // d = 1 of which 1 is kept: 3 − 1 × 1 ÷ (1 + 1)
  expect(w[0]).toBe(2.5);
  expect((await optimizer.stateDict()).params[0]?.scalarSlots).toEqual({ started: 1 });
});

describe("refuses", () => {
  const w = { w: Float32Array.of(1) };
  const invalid: unknown = expect.objectContaining({ code: "invalid-rule" });

  test("a rule whose slots hold the next parameter: it would be the wrong one", () => {
    expect(() => arrayOptimizer(cautious(ema(sgd())), w)).toThrow(invalid);
    expect(() => arrayOptimizer(cautious(asgd()), w)).toThrow(invalid);
    expect(() => arrayOptimizer(ema(cautious(sgd())), w)).not.toThrow();
  });

  test("a rule that does not end in a subtraction", () => {
    const adding: UpdateRuleFactory<{ lr: number }> = defineUpdateRule({
      name: "Adding",
      hyperparameters: { lr: 0.1 },
      update: ({ param, grad }, { lr }) => ({ param: add(param, mul(mul(-1, lr), grad)) }),
    });
    const scalarStep: UpdateRuleFactory<{ lr: number }> = defineUpdateRule({
      name: "ScalarStep",
      hyperparameters: { lr: 0.1 },
      update: ({ param }, { lr }) => ({ param: sub(param, lr) }),
    });
    for (const rule of [adding(), scalarStep(), lookahead(sgd()), adan({ weightDecay: 0.1 })]) {
      expect(() => arrayOptimizer(cautious(rule), w)).toThrow(invalid);
    }
    expect(() => arrayOptimizer(cautious(adan()), w)).not.toThrow();
  });

  test("no rule that takes norms of its own, where the backend has norms of what depends on a norm", () => {
    expect(() => arrayOptimizer(cautious(lamb()), w)).not.toThrow();
  });
});
