import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { biasCorrection, binary, maxWithScalar, minWithScalar, pNorm, unary } from "../src/ops/arithmetic.ts";
import { divide, learnDivision } from "../src/ops/division.ts";
import { use } from "./backends.ts";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

describe.each([{ backend: "cpu" }, { backend: "wasm" }])("tfjs-$backend", (backend) => {
  test("sign: 0 for both zeros, NaN for NaN, and the smallest numbers have one", async () => {
    await use(backend);
    const x = tf.tensor1d([3, -0.5, 1e-30, -1e-45, 0, -0, inf, nan]);
    expect([...unary.sign(x).dataSync()]).toEqual([1, -1, 1, -1, 0, 0, 1, nan]);
  });

  test("min and max give NaN where either is NaN", async () => {
    await use(backend);
    const a = tf.tensor1d([1, 2, nan, 1, nan, -inf]);
    const b = tf.tensor1d([2, 1, 1, nan, nan, 0]);
    expect([...binary.min(a, b).dataSync()]).toEqual([1, 1, nan, nan, nan, -inf]);
    expect([...binary.max(a, b).dataSync()]).toEqual([2, 2, nan, nan, nan, 0]);
    expect([...minWithScalar(a, 1.5).dataSync()]).toEqual([1, 1.5, nan, 1, nan, -inf]);
    expect([...maxWithScalar(a, 1.5).dataSync()]).toEqual([1.5, 2, nan, 1.5, nan, 1.5]);
  });

  test("0 ÷ 0 and ∞ ÷ ∞ are NaN, before it is known whether the backend thinks so and after", async () => {
    await use(backend);
    const a = tf.tensor1d([0, -0, inf, -inf, 3, 1, -1, 5, nan]);
    const b = tf.tensor1d([0, 0, inf, inf, 3, 0, 0, inf, nan]);
    const quotients = [nan, nan, nan, nan, 1, inf, -inf, 0, nan];
    expect([...divide(a, b).dataSync()]).toEqual(quotients);
    learnDivision();
    await new Promise((resolve) => setTimeout(resolve));
    const { kernels } = await tf.profile(() => divide(a, b));
    expect(kernels.map(({ name }) => name)).toEqual(["RealDiv"]);
    expect([...divide(a, b).dataSync()]).toEqual(quotients);
    expect(divide(1, 0).dataSync()[0]).toBe(inf);
  });

  test("1 − βᵗ of a step count that only the device knows: within 3e-7 of float64", async () => {
    await use(backend);
    let worst = 0;
    for (const beta of [0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999]) {
      for (const t of [1, 2, 3, 5, 10, 50, 100, 500, 1000, 5000, 100_000, 2 ** 24]) {
        const found = tf.tidy(() => {
          const value = biasCorrection(beta, tf.scalar(t));
          return typeof value === "number" ? value : value.dataSync()[0]!;
        });
        // expm1 keeps the digits that 1 − 0.9999 loses.
        const expected = beta === 0 ? 1 : -Math.expm1(t * Math.log(beta));
        worst = Math.max(worst, Math.abs(found / expected - 1));
      }
    }
    expect(worst).toBeLessThan(3e-7);
  });

  test("norms of several tensors together", async () => {
    await use(backend);
    const tensors: tf.Tensor[] = [tf.tensor1d([3, -4]), tf.scalar(-12)];
    const norm = (p: number, of = tensors): number => pNorm(of, p).norm.dataSync()[0]!;
    // 9 + 16 + 144 = 169
    expect(norm(2)).toBeCloseTo(13, 5);
    expect(norm(1)).toBeCloseTo(19, 5);
    expect(norm(inf)).toBe(12);
    // 27 + 64 + 1728 = 1819
    expect(norm(3)).toBeCloseTo(Math.cbrt(1819), 5);
    expect(norm(2, [tf.zeros([3])])).toBe(0);
    expect(norm(2, [tf.tensor1d([1, inf])])).toBe(inf);
    for (const p of [1, 2, 3, inf]) expect(norm(p, [tf.tensor1d([inf, nan]), tf.scalar(1)])).toBeNaN();
    expect(norm(inf, [tf.tensor1d([1, inf])])).toBe(inf);
  });

  test("the norm of a million elements: within 1e-6, where one running float32 sum errs by 3e-4", async () => {
    await use(backend);
    const data = Float32Array.from({ length: 1_000_003 }, (_, index) => Math.sin(index));
    const expected = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
    const x = tf.tensor1d(data);
    expect(Math.abs(pNorm([x], 2).norm.dataSync()[0]! / expected - 1)).toBeLessThan(1e-6);
  });
});
