import { arrayKernels, type Reduction, reduceArray } from "@mm/optim-core/backend";
import { describe, expect, test } from "vitest";
import { anyArray, edges, randomNumbers } from "../../../../test-support/numbers.ts";
import { Heap, lengths } from "./fixtures.ts";

const ordinary = (random: () => number, length: number): Float32Array =>
  Float32Array.from({ length }, () => random() * 4 - 2);

describe("accumulate", () => {
  const random = randomNumbers(2);

  test.each(lengths)("equals the reference to the bit, %i elements", (length) => {
    // 0.1 is no float32: the scale is rounded once. The last is the rounded scale of an overflowing window.
    for (const scale of [1, 0.1, -3, 65_536, 2 ** -24, 1e39, NaN]) {
      for (const overwrite of [false, true]) {
        const [accumulator, gradient] = [anyArray(random, length), anyArray(random, length)];
        const heap = new Heap();
        const [a, g] = [heap.vector(accumulator), heap.vector(gradient)];
        arrayKernels().accumulate(accumulator, gradient, scale, overwrite);
        heap.kernels.accumulate(a, g, scale, overwrite);
        expect(heap.read(a)).toEqual(accumulator);
        expect(heap.read(g)).toEqual(gradient);
      }
    }
  });

  test("of a vector into itself: x + 2x and 2x", () => {
    const heap = new Heap();
    const x = heap.vector(Float32Array.of(1, -2, 3, 0.5, -0.25));
    heap.kernels.accumulate(x, x, 2, false);
    expect([...heap.read(x)]).toEqual([3, -6, 9, 1.5, -0.75]);
    heap.kernels.accumulate(x, x, 2, true);
    expect([...heap.read(x)]).toEqual([6, -12, 18, 3, -1.5]);
  });
});

describe("reduce", () => {
  const reductions: readonly Reduction[] = [
    "max",
    { power: 1, scale: 1 },
    { power: 2, scale: 1 },
    { power: 3, scale: 1 },
    { power: 0.5, scale: 1 },
    { power: 9, scale: 2 },
    { power: 1, scale: 2 },
    { power: 2, scale: 2 },
  ];
  const random = randomNumbers(3);

  test.each(reductions)("%o equals the reference to the bit", (reduction) => {
    for (const length of lengths) {
      for (const data of [ordinary(random, length), anyArray(random, length)]) {
        const heap = new Heap();
        const vector = heap.vector(data);
        expect(heap.kernels.reduce(vector, reduction)).toBe(reduceArray(data, reduction));
        expect(heap.kernels.reduce(vector, reduction, true)).toBe(reduceArray(data, reduction, true));
        expect(heap.read(vector)).toEqual(data);
      }
    }
  });

  test.each(lengths.filter((length) => length > 0))(
    "one NaN or Inf anywhere among %i elements shows",
    (length) => {
      for (let place = 0; place < length; place += Math.ceil(length / 40)) {
        const data = ordinary(random, length);
        data[place] = NaN;
        const heap = new Heap();
        const vector = heap.vector(data);
        for (const reduction of reductions) expect(heap.kernels.reduce(vector, reduction)).toBeNaN();
        data[place] = -Infinity;
        const other = heap.vector(data);
        for (const reduction of reductions) expect(heap.kernels.reduce(other, reduction)).toBe(Infinity);
      }
    },
  );

  test("by hand: of 3, −4, 0, 12: Σ|x| = 19, Σx² = 169, max|x| = 12", () => {
    const heap = new Heap();
    const vector = heap.vector(Float32Array.of(3, -4, -0, 12));
    expect(heap.kernels.reduce(vector, { power: 1, scale: 1 })).toBe(19);
    expect(heap.kernels.reduce(vector, { power: 2, scale: 1 })).toBe(169);
    expect(heap.kernels.reduce(vector, "max")).toBe(12);
  });

  test("of the largest float32 values a finite sum of squares: 5 × (2¹²⁸ − 2¹⁰⁴)²", () => {
    const largest = 2 ** 128 - 2 ** 104;
    const heap = new Heap();
    const vector = heap.vector(new Float32Array(5).fill(-largest));
    expect(heap.kernels.reduce(vector, { power: 2, scale: 1 })).toBe(5 * largest ** 2);
  });

  test("of every edge by itself, max|x| is its absolute value", () => {
    for (const edge of edges) {
      const heap = new Heap();
      expect(heap.kernels.reduce(heap.vector(Float32Array.of(edge)), "max")).toBe(Math.abs(edge) + 0);
    }
  });
});
