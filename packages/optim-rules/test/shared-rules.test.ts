import type { UpdateRule } from "@mm/optim-core/rule";
import { dAdaptAdam, dAdaptSgd, prodigy } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

// The formulas in float64, over all tensors at once, whose parameters are rounded to float32 after each step as ours are: the distance to the
// first parameters is what the step size follows. float32 slots are off by some 1e-7 each step, which the step size
// takes up: 5e-6 of the largest parameter, or of 1, the tolerance of the recorded trajectories.
const tolerance = 5e-6;

/** Elements of all tensors, one after the other; `undefined` has no gradient. */
type Gradient = readonly (number | undefined)[];
type Formula = () => (w: number[], g: Gradient) => number[];

/** Two tensors of five and two elements for twelve steps; the second lacks a gradient at the third and fourth, the sixth is all zeros. */
async function apart(rule: UpdateRule, formula: Formula, lr = [1, 1]): Promise<number> {
  const [a, b] = [Float32Array.from(numbers(5, 1)), Float32Array.from(numbers(2, 2))];
  let expected = [...a, ...b];
  const optimizer = arrayOptimizer(rule, [
    { params: { a }, lr: lr[0] as number },
    { params: { b }, lr: lr[1] as number },
  ]);
  const step = formula();
  for (let t = 1; t <= 12; t += 1) {
    const given = [...Float32Array.from(numbers(7, 100 + t))].map((x) => (t === 6 ? 0 : x));
    const lacks = t === 3 || t === 4;
    stepWith(optimizer, { a: given.slice(0, 5), ...(!lacks && { b: given.slice(5) }) });
    expected = step(
      expected,
      given.map((x, i) => (lacks && i >= 5 ? undefined : x)),
    ).map(Math.fround);
  }
  const largest = Math.max(1, ...expected.map(Math.abs));
  return Math.max(...[...a, ...b].map((x, i) => Math.abs(x - (expected[i] ?? NaN)))) / largest;
}

const zeros = (): number[] => Array<number>(7).fill(0);
const total = (of: (i: number) => number, g: Gradient): number =>
  g.reduce<number>((sum, x, i) => sum + (x === undefined ? 0 : of(i)), 0);

describe("Prodigy", () => {
  interface Options {
    readonly decay?: number;
    readonly decoupled?: boolean;
    readonly corrected?: boolean;
    readonly guarded?: boolean;
    readonly growth?: number;
    readonly beta1?: number;
    readonly lr?: number;
  }
  const formula =
    ({
      decay = 0,
      decoupled = true,
      corrected = false,
      guarded = false,
      growth = Infinity,
      beta1 = 0.9,
      lr = 1,
    }: Options): Formula =>
    () => {
      const beta2 = 0.99;
      const beta3 = Math.sqrt(beta2);
      const d0 = 1e-2;
      let [d, dMax, numerator, k] = [d0, d0, 0, 0];
      let p0: number[] | undefined;
      const [s, m, v] = [zeros(), zeros(), zeros()];
      return (w, given) => {
        p0 ??= [...w];
        const start = p0;
        const g = given.map((x, i) =>
          x === undefined ? undefined : decoupled ? x : x + decay * (w[i] as number),
        );
        const bias = corrected ? Math.sqrt(1 - beta2 ** (k + 1)) / (1 - beta1 ** (k + 1)) : 1;
        const rate = d * lr * bias;
        const way = (i: number): number => (g[i] as number) * ((start[i] as number) - (w[i] as number));
        numerator = beta3 * numerator + (d / d0) * rate * total(way, g);
        for (const [i, x] of g.entries()) {
          if (x === undefined) continue;
          m[i] = beta1 * (m[i] as number) + d * (1 - beta1) * x;
          v[i] = beta2 * (v[i] as number) + d * d * (1 - beta2) * x * x;
          s[i] = beta3 * (s[i] as number) + (d / d0) * (guarded ? d : rate) * x;
        }
        const guess = numerator / total((i) => Math.abs(s[i] as number), g);
        if (d === d0) d = Math.max(d, guess);
        dMax = Math.max(dMax, guess);
        d = Math.min(dMax, d * growth);
        k += 1;
        return w.map((x, i) => {
          const u = beta1 > 0 ? (m[i] as number) : d * (g[i] ?? 0);
          const moved = (rate * u) / (Math.sqrt(v[i] as number) + d * 1e-8);
          return g[i] === undefined ? x : x * (1 - (decoupled ? decay * rate : 0)) - moved;
        });
      };
    };
  const rule = { betas: [0.9, 0.99], d0: 1e-2 } as const;

  test.each([
    [{}, {}],
    [
      { weightDecay: 0.1, growthRate: 1.05 },
      { decay: 0.1, growth: 1.05 },
    ],
    [
      { weightDecay: 0.1, decoupledWeightDecay: false, biasCorrected: true },
      { decay: 0.1, decoupled: false, corrected: true },
    ],
    [
      { biasCorrected: true, safeguardWarmup: true },
      { corrected: true, guarded: true },
    ],
    [{ betas: [0, 0.99] }, { beta1: 0 }],
  ] as const)("follows its formula with %j", async (options, meant) => {
    expect(await apart(prodigy({ ...rule, ...options }), formula(meant))).toBeLessThan(tolerance);
    const half = apart(prodigy({ ...rule, ...options }), formula({ ...meant, lr: 0.5 }), [0.5, 0.5]);
    expect(await half).toBeLessThan(tolerance);
  });

  test("does nothing as long as all gradients are zeros", async () => {
    const w = Float32Array.of(1, 2);
    const optimizer = arrayOptimizer(prodigy({ weightDecay: 0.5 }), { w });
    stepWith(optimizer, { w: [0, 0] });
    expect([...w]).toEqual([1, 2]);
    const { params } = await optimizer.stateDict();
    expect(params[0]?.scalarSlots).toEqual({ d: 1e-6, dMax: 1e-6, dNumerator: 0, k: 0 });
  });

  test("finds the step size by itself", () => {
    // Σ(θ − 3)²/2 from 0: the distance is 3 in each of four elements.
    const w = new Float32Array(4);
    const optimizer = arrayOptimizer(prodigy(), { w });
    for (let t = 0; t < 300; t += 1) stepWith(optimizer, { w: [...w].map((x) => x - 3) });
    for (const x of w) expect(Math.abs(x - 3)).toBeLessThan(0.1);
  });
});

describe("D-Adaptation", () => {
  const adam =
    ({ decay = 0, corrected = false, scale = [1, 1], growth = Infinity } = {}): Formula =>
    () => {
      const [beta1, beta2, eps] = [0.9, 0.99, 1e-2];
      const q = Math.sqrt(beta2);
      let [d, numerator, k] = [1e-2, 0, 0];
      const [s, m, v] = [zeros(), zeros(), zeros()];
      const r = (i: number): number => scale[i < 5 ? 0 : 1] as number;
      return (w, g) => {
        const rate = d * (corrected ? Math.sqrt(1 - beta2 ** (k + 1)) / (1 - beta1 ** (k + 1)) : 1);
        const part = (i: number): number =>
          (r(i) * rate * (g[i] as number) * (s[i] as number)) / (Math.sqrt(v[i] as number) + eps);
        numerator = q * numerator + (1 - q) * total(part, g);
        for (const [i, x] of g.entries()) {
          if (x === undefined) continue;
          m[i] = beta1 * (m[i] as number) + r(i) * rate * (1 - beta1) * x;
          v[i] = beta2 * (v[i] as number) + (1 - beta2) * x * x;
          s[i] = q * (s[i] as number) + (1 - q) * rate * x;
        }
        const length = total((i) => r(i) * Math.abs(s[i] as number), g);
        d = Math.max(d, Math.min(numerator / ((1 - q) * length), d * growth));
        k += 1;
        return w.map((x, i) =>
          g[i] === undefined
            ? x
            : x * (1 - decay * rate) - (m[i] as number) / (Math.sqrt(v[i] as number) + eps),
        );
      };
    };

  test.each([
    [{}, {}],
    [
      { weightDecay: 0.1, decoupledWeightDecay: true, biasCorrected: true },
      { decay: 0.1, corrected: true },
    ],
    [{ growthRate: 1.02 }, { growth: 1.02 }],
  ] as const)("Adam follows its formula with %j", async (options, meant) => {
    const rule = dAdaptAdam({ betas: [0.9, 0.99], eps: 1e-2, d0: 1e-2, ...options });
    expect(await apart(rule, adam(meant))).toBeLessThan(tolerance);
  });

  const sgd =
    ({ decay = 0, momentum = 0, growth = Infinity } = {}): Formula =>
    () => {
      let [d, numerator, size] = [1e-2, 0, 0];
      let x0: number[] | undefined;
      const s = zeros();
      return (w, given) => {
        x0 ??= [...w];
        const start = x0;
        if (size === 0) size = Math.sqrt(total((i) => (given[i] as number) ** 2, given));
        const rate = d / size;
        const g = given.map((x, i) => (x === undefined ? undefined : x + decay * (w[i] as number)));
        numerator += total((i) => rate * (g[i] as number) * (s[i] as number), g);
        for (const [i, x] of g.entries()) if (x !== undefined) s[i] = (s[i] as number) + rate * x;
        const length = Math.sqrt(total((i) => (s[i] as number) ** 2, g));
        d = Math.max(d, Math.min((2 * numerator) / length, d * growth));
        return w.map((x, i) =>
          g[i] === undefined ? x : momentum * x + (1 - momentum) * ((start[i] as number) - (s[i] as number)),
        );
      };
    };

  test.each([
    [{}, {}],
    [
      { weightDecay: 0.1, momentum: 0.5 },
      { decay: 0.1, momentum: 0.5 },
    ],
    [{ growthRate: 1.01 }, { growth: 1.01 }],
  ] as const)("SGD follows its formula with %j", async (options, meant) => {
    expect(await apart(dAdaptSgd({ d0: 1e-2, ...options }), sgd(meant))).toBeLessThan(tolerance);
  });

  test.each([
    ["Adam", dAdaptAdam({ weightDecay: 0.5, decoupledWeightDecay: true })],
    ["SGD", dAdaptSgd()],
  ] as const)("%s does nothing as long as all gradients are zeros", async (_, rule) => {
    const w = Float32Array.of(1, 2);
    const optimizer = arrayOptimizer(rule as UpdateRule, { w });
    stepWith(optimizer, { w: [0, 0] });
    expect([...w]).toEqual([1, 2]);
    expect((await optimizer.stateDict()).params[0]?.scalarSlots).toMatchObject({
      d: 1e-6,
      numeratorWeighted: 0,
    });
  });
});
