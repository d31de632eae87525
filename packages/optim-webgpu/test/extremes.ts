// Norms and factors at both ends of float32, for every backend of this package, against float64.
import type { LossClosure, OptimizerFactory } from "@mm/optim-conformance";
import { type ClipGradByNorm, createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";

type Gradients = { readonly [name: string]: Float32Array };

const powers = [0.5, 1, 1.5, 2, 3, 4, 8, 12, 20, Infinity];
export const allSizes: readonly number[] = [1e-30, 1e-20, 1e-10, 1e-5, 1, 1e10, 1e20, 1e30];
/** Where the kernels are the same, and only the way to them differs. */
export const fewSizes: readonly number[] = [1e-30, 1e-5, 1e30];

/**
 * The p-norm of all elements: elements are divided by the largest, so that no power leaves the range of float64.
 */
function normOf(gradients: Gradients, p: number): number {
  const all = Object.values(gradients).flatMap((gradient) => Array.from(gradient, Math.abs));
  const largest = all.reduce((most, x) => Math.max(most, x), 0);
  if (p === Infinity || largest === 0) return largest;
  return largest * all.reduce((sum, x) => sum + (x / largest) ** p, 0) ** (1 / p);
}

const random = randomNumbers(29);
const zeros = (length: number): Float32Array => new Float32Array(length);
const sized = (length: number, size: number): Float32Array =>
  ordinaryArray(random, length).map((x) => size * x);
const everyNth = (length: number, n: number, size: number): Float32Array =>
  sized(length, size).map((x, index) => (index % n === n - 1 ? x : 0));

/** Three tiles, ten elements, and one: most threads of a check see nothing of the smaller two. */
const lengths = { w: 9001, b: 10, s: 1 };

const shapes: { readonly [name: string]: (size: number) => Gradients } = {
  "all of one value": (size) => ({
    w: zeros(lengths.w).fill(size),
    b: zeros(lengths.b).fill(size),
    s: zeros(1).fill(size),
  }),
  dense: (size) => ({ w: sized(lengths.w, size), b: sized(lengths.b, size), s: sized(1, size) }),
  sparse: (size) => ({ w: everyNth(lengths.w, 3000, size), b: everyNth(lengths.b, 7, size), s: zeros(1) }),
  tiny: (size) => ({ w: zeros(lengths.w), b: zeros(lengths.b), s: Float32Array.of(size) }),
  "mixed with ones": (size) => ({ w: sized(lengths.w, size), b: sized(lengths.b, 1), s: sized(1, size) }),
  "mixed with 1e-30 and 1e30": (size) => ({
    w: sized(lengths.w, 1e-30),
    b: everyNth(lengths.b, 5, size),
    s: Float32Array.of(1e30),
  }),
};

/**
 * Of 9,001 elements a thread adds up 16 vectors of four in each of its tiles, a lane at a time; then 64 threads add up 3 × 64 partial sums, 3
 * each, and one adds up those 64. That is at most 16 + 2 + 3 + 64 = 85 roundings of 2⁻²⁴ each: 5e-6, which p = ½ doubles. pow adds what WGSL
 * lets log2 be off by, 2⁻²¹ = 5e-7 of every element.
 */
const tolerance = 1e-5;

/** 25 tiles, and as many partial sums. 16 + 2 + 25 + 64 roundings, 7e-6, of which the p-th root leaves 1/p. */
const large = { w: 100_352, b: 10 };

interface Run {
  readonly gradients: Gradients;
  readonly clipGrad?: ClipGradByNorm | undefined;
  readonly lossScale?: number;
  readonly rescale?: number;
}

interface Outcome {
  /** How far each parameter went, from 0, in the direction of its gradient. */
  readonly steps: Gradients;
  readonly gradNorm: number | undefined;
  readonly gradNorms: { readonly [name: string]: number };
}

/** One step of SGD with a learning rate of 1, from 0: parameters are then the negatives of what was applied. */
async function run<P, L extends LossClosure, V>(
  factory: OptimizerFactory<P, L, V>,
  { gradients, rescale = 1, ...options }: Run,
): Promise<Outcome> {
  const parameters = Object.fromEntries(
    Object.entries(gradients).map(([name, { length }]) => [
      name,
      factory.createParameter(zeros(length), [length]),
    ]),
  );
  const optim = createOptimWrapper(factory.createOptimizer(sgd({ lr: 1 }), parameters), options);
  const terms = Object.entries(gradients).map(([name, gradient]) => ({
    name,
    gradient,
    parameter: parameters[name] as P,
  }));
  optim.backward(factory.linearLoss(terms));
  optim.step({ rescale });
  const reading = optim.readMetrics({ per: "parameter" });
  const [{ gradNorm, gradNorms = {} }, after] = await Promise.all([
    reading,
    optim.optimizer.readParameters(),
  ]);
  optim.dispose();
  for (const parameter of Object.values(parameters)) factory.disposeParameter?.(parameter);
  const steps = Object.fromEntries(
    Object.entries(after).map(([name, values]) => [name, values.map((x) => -x)]),
  );
  return { steps, gradNorm, gradNorms };
}

/** How far the norms of the parameters are off, the largest of all. */
const differenceOfNorms = (
  found: Outcome["gradNorms"],
  gradients: Gradients,
  factor: (norm: number) => number,
): number =>
  Math.max(
    ...Object.entries(gradients).map(([name, gradient]) => {
      const expected = factor(normOf({ [name]: gradient }, 2));
      const off = Math.abs((found[name] as number) - expected);
      return expected === 0 ? off : off / expected;
    }),
  );

/** The largest |found − expected|, in units of the largest |expected|; NaN where anything is. */
function difference(found: Gradients, expected: { readonly [name: string]: readonly number[] }): number {
  const largest = Math.max(
    ...Object.values(expected).map((list) => list.reduce((m, x) => Math.max(m, Math.abs(x)), 0)),
  );
  let worst = 0;
  for (const [name, list] of Object.entries(expected)) {
    for (const [index, value] of list.entries()) {
      const off = Math.abs((found[name]?.[index] as number) - value);
      if (!(off <= worst)) worst = off;
    }
  }
  return worst / largest;
}

const min = 2 ** -126;
const vector = (length: number, value: number): Float32Array => zeros(length).fill(value);

/** [title, run]: the gradient of the closure × loss scale stays below 3.4e38, and what is applied is an ordinary number. */
const factors: readonly (readonly [string, Run])[] = [
  [
    "1e36 under a loss scale of 64, clipped to 0.1: the factor is 2^-6 × 1e-37",
    { gradients: { w: Float32Array.of(1e36) }, lossScale: 64, clipGrad: { maxNorm: 0.1 } },
  ],
  [
    "1e8 under 2^100, clipped to 1e-3: 2^-100 × 1e-11",
    { gradients: { w: Float32Array.of(1e8, -1e8) }, lossScale: 2 ** 100, clipGrad: { maxNorm: 1e-3 } },
  ],
  [
    "0.5 under 3e38, clipped to 1e-8: 3.3e-39 × 2e-8",
    {
      gradients: { w: Float32Array.of(0.5, -0.25), b: Float32Array.of(0.1) },
      lossScale: 3e38,
      clipGrad: { maxNorm: 1e-8 },
    },
  ],
  [
    "2^66 under 2^61: the raw gradient is 2^127, the factor 2^-61",
    { gradients: { w: Float32Array.of(2 ** 66) }, lossScale: 2 ** 61 },
  ],
  [
    "1,024 × 3e38, whose norm is 9.6e39, clipped to 1",
    { gradients: { w: vector(1024, 3e38) }, clipGrad: { maxNorm: 1 } },
  ],
  [
    "1,024 × 3e38 by the 1-norm of 3e41, clipped to 1e6",
    { gradients: { w: vector(1024, 3e38) }, clipGrad: { maxNorm: 1e6, normType: 1 } },
  ],
  [
    "1,024 × 3e38 by a ½-norm of 3e44, clipped to 1e20",
    { gradients: { w: vector(1024, 3e38) }, clipGrad: { maxNorm: 1e20, normType: 0.5 } },
  ],
  [
    "norms above float32, clipped to a norm above float32",
    { gradients: { w: vector(1024, 3e38) }, clipGrad: { maxNorm: 1e39 } },
  ],
  [
    "1e-3 under 2^-20, clipped to 1e-30",
    { gradients: { w: Float32Array.of(1e-3) }, lossScale: 2 ** -20, clipGrad: { maxNorm: 1e-30 } },
  ],
  ["rescaled by 1e-40", { gradients: { w: Float32Array.of(1e38, -3e38) }, rescale: 1e-40 }],
  [
    "rescaled by 3e38, under a loss scale of 2^-10: the factor is 3e41",
    { gradients: { w: Float32Array.of(1e-33, -3e-34), b: zeros(3) }, rescale: 3e38, lossScale: 2 ** -10 },
  ],
  [
    "rescaled by -1e-40, clipped to 1e-3",
    { gradients: { w: Float32Array.of(1e38, -3e38) }, rescale: -1e-40, clipGrad: { maxNorm: 1e-3 } },
  ],
  [
    "the same, clipped to 2",
    {
      gradients: { w: Float32Array.of(1e-33, -3e-34), b: zeros(3) },
      rescale: 3e38,
      lossScale: 2 ** -10,
      clipGrad: { maxNorm: 2 },
    },
  ],
  [
    "rescaled by 1e-30 under 2^60, clipped to 1e-15",
    {
      gradients: { w: Float32Array.of(1e18, 2e18) },
      rescale: 1e-30,
      lossScale: 2 ** 60,
      clipGrad: { maxNorm: 1e-15 },
    },
  ],
  [
    "rescaled by 1e-28, under a loss scale of 1e-30: the raw gradient is 1",
    { gradients: { w: Float32Array.of(1e30) }, rescale: 1e-28, lossScale: 1e-30 },
  ],
  [
    "a maxNorm of infinity",
    { gradients: { w: Float32Array.of(1e38) }, rescale: 1e-38, clipGrad: { maxNorm: Infinity } },
  ],
  [
    "a norm at the lower end, far below the maxNorm",
    { gradients: { w: Float32Array.of(2 * min) }, rescale: 1e30, clipGrad: { maxNorm: 1 } },
  ],
];

export function testExtremes<P, L extends LossClosure, V>(
  factory: OptimizerFactory<P, L, V>,
  sizes: readonly number[],
): void {
  describe(`${factory.name}: norms`, () => {
    describe.each(powers)("p = %d", (p) => {
      const clipGrad: ClipGradByNorm = { maxNorm: Infinity, normType: p };

      test.each(Object.keys(shapes))("gradients that are %s, from 1e-30 to 1e30", async (shape) => {
        for (const size of sizes) {
          const gradients = (shapes[shape] as (size: number) => Gradients)(size);
          const { gradNorm } = await run(factory, { gradients, clipGrad });
          const error = Math.abs((gradNorm as number) / normOf(gradients, p) - 1);
          expect([size, error <= tolerance ? "near" : error]).toEqual([size, "near"]);
        }
      });

      test("of nothing but zeros is 0", async () => {
        const { gradNorm } = await run(factory, { gradients: { w: zeros(9001), b: zeros(0) }, clipGrad });
        expect(gradNorm).toBe(0);
      });
    });

    test.each(Object.keys(shapes))("of parameters that are %s, from 1e-30 to 1e30", async (shape) => {
      for (const size of sizes) {
        const gradients = (shapes[shape] as (size: number) => Gradients)(size);
        const { gradNorms } = await run(factory, { gradients });
        const error = differenceOfNorms(gradNorms, gradients, (norm) => norm);
        expect([size, error <= tolerance ? "near" : error]).toEqual([size, "near"]);
      }
    });

    test("an 8-norm far below maxNorm clips nothing, however many threads saw only zeros", async () => {
      const gradients = { w: zeros(large.w).fill(1e-5), b: zeros(large.b).fill(1e-5) };
      const { steps, gradNorm } = await run(factory, { gradients, clipGrad: { maxNorm: 0.01, normType: 8 } });
      // 100,362^(1/8) × 1e-5 = 4.2e-5
      expect((gradNorm as number) / (100_362 ** (1 / 8) * 1e-5)).toBeCloseTo(1, 5);
      expect(new Set([...(steps["w"] ?? []), ...(steps["b"] ?? [])])).toEqual(new Set([Math.fround(1e-5)]));
    });

    test.each([100, 1000, 1e6, 1e39])("p = %d is near the largest element", async (p) => {
      const gradients = { w: Float32Array.of(1.9, -1.9, 1), b: Float32Array.of(1.5, 1.9) };
      const { gradNorm } = await run(factory, { gradients, clipGrad: { maxNorm: 1, normType: p } });
      // 1.9 × 3^(1/p): 1.921 for p = 100
      expect((gradNorm as number) / normOf(gradients, p)).toBeCloseTo(1, 5);
    });
  });

  describe(`${factory.name}: factors`, () => {
    test.each(factors)("%s", async (_, { gradients, ...options }) => {
      const { clipGrad, lossScale = 1, rescale = 1 } = options;
      const { normType = 2, maxNorm = Infinity }: Partial<ClipGradByNorm> = clipGrad ?? {};
      // The definition, in float64; the loss scale is multiplied in and divided out again.
      const norm = Math.abs(rescale / lossScale) * lossScale * normOf(gradients, normType);
      const factor = rescale * Math.min(1, maxNorm / (norm + 1e-6));
      const expected = Object.fromEntries(
        Object.entries(gradients).map(([name, gradient]) => [name, Array.from(gradient, (x) => factor * x)]),
      );
      const found = await run(factory, { gradients, ...options });
      expect(difference(found.steps, expected)).toBeLessThanOrEqual(tolerance);
      // Where nothing clips, nothing is measured.
      const error = clipGrad === undefined ? 0 : Math.abs((found.gradNorm as number) / norm - 1);
      expect(error).toBeLessThanOrEqual(tolerance);
      const unscaled = (one: number): number => Math.abs(rescale / lossScale) * (lossScale * one);
      expect(differenceOfNorms(found.gradNorms, gradients, unscaled)).toBeLessThanOrEqual(tolerance);
    });
  });
}
