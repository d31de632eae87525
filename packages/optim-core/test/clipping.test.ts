import { type ClipGrad, createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { defineUpdateRule, div, mul, norm, sub } from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, observed } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

function model(options: OptimWrapperOptions) {
  const [a, b] = [new Float32Array(1), new Float32Array(1)];
  return { a, b, wrapper: createOptimWrapper(arrayOptimizer(descent(), { a, b }), options) };
}

// Quotients are float64 and rounded to float32 with the gradient: what is left is half a unit in the last place of numbers up to 4.
const digits = 6;

test("by norm: one norm for the whole wrapper, across parameters", async () => {
  const { a, b, wrapper } = model({ clipGrad: { maxNorm: 2.5 } });
  wrapper.updateParams(gradients({ a: [3], b: [4] }));
  // √(9 + 16) = 5; 2.5 / (5 + 1e-6) ≈ 0.5
  expect(a[0]).toBeCloseTo(-1.5, digits);
  expect(b[0]).toBeCloseTo(-2, digits);
  expect((await wrapper.readMetrics()).gradNorm).toBe(5);
});

test("a norm below the limit changes nothing; one of exactly the limit shrinks by a hair, as PyTorch's", () => {
  const below = model({ clipGrad: { maxNorm: 6 } });
  below.wrapper.updateParams(gradients({ a: [3], b: [4] }));
  expect([below.a[0], below.b[0]]).toEqual([-3, -4]);
  const exact = model({ clipGrad: { maxNorm: 5 } });
  exact.wrapper.updateParams(gradients({ a: [3], b: [4] }));
  // 5 / 5.000001 = 1 − 2e-7, in float32 1 − 3 · 2⁻²⁴ = 1 − 1.79e-7
  expect(exact.b[0]).toBeGreaterThan(-4);
  expect(exact.b[0]).toBeCloseTo(-4, 5);
});

test("the norm is that of the whole window, divided", async () => {
  const { a, wrapper } = model({ clipGrad: { maxNorm: 1 }, accumulativeCounts: 2 });
  for (const gradient of [3, 5]) wrapper.updateParams(gradients({ a: [gradient] }));
  // (3 + 5) / 2 = 4, clipped to 1
  expect((await wrapper.readMetrics()).gradNorm).toBe(4);
  expect(a[0]).toBeCloseTo(-1, digits);
});

test("other norms", async () => {
  for (const [normType, norm] of [
    [1, 7],
    [2, 5],
    [3, Math.cbrt(27 + 64)],
    [Number.POSITIVE_INFINITY, 4],
  ] as const) {
    const { a, wrapper } = model({ clipGrad: { maxNorm: 1, normType } });
    wrapper.updateParams(gradients({ a: [3], b: [4] }));
    expect((await wrapper.readMetrics()).gradNorm).toBeCloseTo(norm, 12);
    expect(a[0]).toBeCloseTo(-3 / norm, digits);
  }
});

test("a finite gradient has a finite norm, where float32 squares overflow", async () => {
  const { a, wrapper } = model({ clipGrad: { maxNorm: 1 } });
  const huge = Math.fround(3e30);
  wrapper.updateParams(gradients({ a: [huge] }));
  expect((await wrapper.readMetrics()).gradNorm).toBe(huge);
  expect(a[0]).toBeCloseTo(-1, digits);
});

test("by value: each element is clamped, and no norm is measured", async () => {
  const { a, b, wrapper } = model({ clipGrad: { type: "value", clipValue: 0.5 }, accumulativeCounts: 2 });
  for (const gradient of [4, -3.5]) wrapper.updateParams(gradients({ a: [gradient], b: [-gradient * 4] }));
  // (4 − 3.5) / 2 = 0.25 and four times that below 0, clamped after the division
  expect([a[0], b[0]]).toEqual([-0.25, 0.5]);
  expect(await wrapper.readMetrics()).not.toHaveProperty("gradNorm");
});

test("the norm is measured without clipping when asked for, and of all backwards together", async () => {
  const { a, b, wrapper } = model({ gradNorm: true });
  wrapper.updateParams(gradients({ a: [3], b: [4] }));
  expect((await wrapper.readMetrics()).gradNorm).toBe(5);
  expect([a[0], b[0]]).toEqual([-3, -4]);
  const clipped = model({ gradNorm: true, clipGrad: { type: "value", clipValue: 1 } });
  clipped.wrapper.updateParams(gradients({ a: [3], b: [4] }));
  // Before clipping.
  expect((await clipped.wrapper.readMetrics()).gradNorm).toBe(5);
});

test("errorIfNonfinite throws in the step, parameters unchanged", async () => {
  const { a, b, wrapper } = model({ clipGrad: { maxNorm: 1, errorIfNonfinite: true } });
  const error = await refusal(() =>
    wrapper.updateParams(gradients({ a: [1], b: [Number.POSITIVE_INFINITY] })),
  );
  expect(error.code).toBe("non-finite-gradient");
  expect(error.message).toContain('"b"');
  expect([a[0], b[0]]).toEqual([0, 0]);
});

test.each<[NonNullable<OptimWrapperOptions["onNonFinite"]>, number, number, number, number]>([
  ["propagate", -1, Number.NaN, 1, 0],
  ["skip", 0, 0, 0, 1],
  ["zero", -1, 0, 1, 0],
])("a NaN with onNonFinite %s", async (onNonFinite, a, b, steps, skipped) => {
  const made = model({ onNonFinite });
  made.wrapper.updateParams(gradients({ a: [1], b: [Number.NaN] }));
  expect([made.a[0], made.b[0]]).toEqual([a, b]);
  expect(await made.wrapper.readMetrics()).toEqual({ lossScale: 1, steps, skipped });
});

test("clipping by value does not hide an overflow from the check, which is on the raw gradients", () => {
  const { a, wrapper } = model({ onNonFinite: "skip", clipGrad: { type: "value", clipValue: 1 } });
  wrapper.updateParams(gradients({ a: [Number.POSITIVE_INFINITY] }));
  expect(a[0]).toBe(0);
});

test.each([
  ["0.5 under a loss scale of 3e38, clipped to 1e-8: 3.3e-39 × 2e-8", 0.5, 3e38, 1e-8],
  ["1e36 under 64, clipped to 0.1: 2^-6 × 1e-37", 1e36, 64, 0.1],
  ["1e38, clipped to 1e-5: 1e-43, of which float32 has 6 bits", 1e38, undefined, 1e-5],
  ["-1e38, clipped to 1e-10: 1e-48, of which it has none", -1e38, undefined, 1e-10],
])("a factor below what float32 holds is no 0: %s", async (_, gradient, lossScale, maxNorm) => {
  const { a, wrapper } = model({ lossScale, clipGrad: { maxNorm } });
  wrapper.backward(gradients({ a: [gradient] }));
  const before = await wrapper.optimizer.readGradients();
  wrapper.step();
  // −lr × gradient × maxNorm ÷ (|gradient| + 1e-6), where 1e-6 beside 0.5 is 2e-6
  const expected = -Math.sign(gradient) * maxNorm;
  expect(Math.abs((a[0] as number) / expected - 1)).toBeLessThan(3e-6);
  expect(await wrapper.optimizer.readGradients()).toEqual(before);
});

describe("by tensor and by unit", () => {
  /** A matrix of two rows and a vector, after one descent by these gradients. */
  async function stepped(clipGrad: ClipGrad, outputs: "first" | "last" = "first") {
    const [w, b] = [Float32Array.of(3, 4, 0, 0), Float32Array.of(6, 8)];
    const groups = [{ params: { w, b }, shapes: { w: [2, 2] } }];
    const describe = (value: Float32Array) => ({ shape: [value.length], identity: value, outputs });
    const optimizer = arrayOptimizer(descent(), groups, { ...observed(), engine: { describe } });
    const wrapper = createOptimWrapper(optimizer, { clipGrad });
    wrapper.updateParams(gradients({ w: [30, 40, 0, 2], b: [0.6, 0.8] }));
    return { w, b, gradNorm: (await wrapper.readMetrics()).gradNorm };
  }
  /** How far values are from what they should be. */
  const distance = (values: Float32Array, expected: readonly number[]): number =>
    Math.max(...expected.map((value, index) => Math.abs((values[index] ?? NaN) - value)));
  const all = Math.sqrt(2500 + 4 + 1);

  test("the gradient of each output, by the norm of its weights", async () => {
    const { w, b, gradNorm } = await stepped({ type: "adaptive", clipFactor: 0.5, eps: 0.1 });
    // Rows of the norms 50 and 2, to 0.5·5 and 0.5·0.1; 1 is below 0.5·10.
    expect(distance(w, [1.5, 2, 0, -0.05])).toBeLessThan(5e-6);
    expect(distance(b, [5.4, 7.2])).toBeLessThan(5e-6);
    expect(gradNorm).toBeCloseTo(all, digits);
  });

  test("of a host whose outputs are last, they are columns", async () => {
    const { w } = await stepped({ type: "adaptive", clipFactor: 0.5, eps: 0.1 }, "last");
    // Columns of weights 3 and 4, of gradients 30 and √(40² + 2²).
    const size = Math.hypot(40, 2);
    expect(distance(w, [1.5, 4 - (40 * 2) / size, 0, (-2 * 2) / size])).toBeLessThan(5e-6);
  });

  test("eps is the paper's and timm's 1e-3 unless it is said", async () => {
    const { w } = await stepped({ type: "adaptive", clipFactor: 0.01 });
    expect(distance(w, [3 - 0.03, 4 - 0.04, 0, -1e-5])).toBeLessThan(5e-6);
  });

  test("the gradient of each tensor, by its own norm", async () => {
    const { w, b, gradNorm } = await stepped({ type: "norm", per: "tensor", maxNorm: 5 });
    const size = Math.hypot(50, 2);
    expect(distance(w, [3 - 150 / size, 4 - 200 / size, 0, -10 / size])).toBeLessThan(5e-6);
    expect(distance(b, [5.4, 7.2])).toBeLessThan(5e-6);
    expect(gradNorm).toBeCloseTo(all, digits);
  });

  test("under a rule that takes norms itself, of the gradient that was clipped", () => {
    const normed = defineUpdateRule({
      name: "Normed",
      hyperparameters: { lr: 1 },
      update: ({ param, grad }, { lr }) => ({ param: sub(param, mul(lr, div(grad, norm(grad)))) }),
    });
    const w = Float32Array.of(0, 0);
    const wrapper = createOptimWrapper(arrayOptimizer(normed(), { w }), {
      clipGrad: { maxNorm: 1, per: "tensor" },
    });
    wrapper.updateParams(gradients({ w: [30, 40] }));
    expect(distance(w, [-0.6, -0.8])).toBeLessThan(5e-6);
  });

  test("zeros stay zeros, and what is not finite goes on as elsewhere", async () => {
    const w = Float32Array.of(1, 1);
    const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w }), {
      clipGrad: { type: "adaptive", clipFactor: 0.01 },
      onNonFinite: "skip",
    });
    wrapper.updateParams(gradients({ w: [0, 0] }));
    wrapper.updateParams(gradients({ w: [Infinity, 0] }));
    expect([...w]).toEqual([1, 1]);
    expect((await wrapper.readMetrics()).skipped).toBe(1);
  });

  test.each([
    [{ type: "adaptive", clipFactor: 0 }, /clipFactor/],
    [{ type: "adaptive" }, /clipFactor/],
    [{ type: "adaptive", clipFactor: 1, eps: -1 }, /eps/],
    [{ type: "adaptive", clipFactor: 1, maxNorm: 1 }, /maxNorm/],
    [{ maxNorm: 1, per: "tensor", normType: 3 }, /normType: expected 1, 2 or Infinity with per: "tensor"/],
    [{ maxNorm: 1, per: "unit" }, /per/],
  ] as const)("%j is refused", async (clipGrad, words) => {
    const error = await refusal(() => model({ clipGrad: clipGrad as never }));
    expect(error.message).toMatch(words);
  });

  test("an engine without sums per row refuses it by the operation's name, and nothing has changed", async () => {
    const w = Float32Array.of(3, 4);
    const groups = [{ params: { w }, shapes: { w: [1, 2] } }];
    const operations = new Set(["add", "sub", "mul", "div", "norm", "min"]);
    const wrapper = createOptimWrapper(arrayOptimizer(descent(), groups, { ...observed(), operations }), {
      clipGrad: { type: "adaptive", clipFactor: 0.01 },
    });
    const error = await refusal(() => wrapper.updateParams(gradients({ w: [1, 1] })));
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(/clipGrad: expected operations of the .* backend/);
    expect([...w]).toEqual([3, 4]);
  });
});
