import { PNG } from "pngjs";
import { expect, it } from "vitest";
import { classes, pixels } from "../src/digits.ts";
import { drawLosses } from "../src/figures/losses.ts";
import { drawSamples } from "../src/figures/samples.ts";

/** How many pixels of a rectangle are darker than mid-grey. */
function ink(png: PNG, left: number, top: number, width: number, height: number): number {
  let count = 0;
  for (let y = top; y < top + height; y++) {
    for (let x = left; x < left + width; x++) if (png.data[4 * (y * png.width + x)]! < 128) count++;
  }
  return count;
}

it("labels rows and columns of samples, and draws ink dark", async () => {
  const frames = [0, 1].map((ink, iteration) => ({
    iteration,
    images: new Float32Array(classes * pixels).fill(ink),
  }));
  const png = PNG.sync.read(Buffer.from(await drawSamples(frames)));
  for (let digit = 0; digit < classes; digit++) {
    const top = 78 + digit * 60;
    expect(ink(png, 10, top, 30, 56)).toBeGreaterThan(10);
    // Cells are 14 × 4 = 56 pixels wide: all paper in the first column, all ink in the second.
    expect(ink(png, 44, top, 56, 56)).toBe(0);
    expect(ink(png, 104, top, 56, 56)).toBe(56 * 56);
  }
  expect(ink(png, 44, 60, 56, 16)).toBeGreaterThan(10);
});

it("draws losses with titles, axes and labels", async () => {
  const metrics = {
    "generator.loss": 1,
    "generator.gradNorm": 2,
    "discriminator.loss": 1,
    "discriminator.gradNorm": 2,
  };
  const history = [1, 2, 3].map((step) => ({ step, ...metrics }));
  const png = PNG.sync.read(Buffer.from(await drawLosses(history)));
  expect([png.width, png.height]).toEqual([760, 520]);
  expect(ink(png, 12, 16, 60, 24)).toBeGreaterThan(30);
  expect(ink(png, 12, 268, 130, 24)).toBeGreaterThan(60);
});

it("draws losses of a run that was stopped before its first metrics", async () => {
  expect(PNG.sync.read(Buffer.from(await drawLosses([]))).width).toBe(760);
});
