import { PNG } from "pngjs";
import { expect, it } from "vitest";
import { drawReturns } from "../src/figures/returns.ts";

/** How many pixels of a rectangle are not paper. */
function ink(png: PNG, left: number, top: number, width: number, height: number): number {
  let count = 0;
  for (let y = top; y < top + height; y++) {
    for (let x = left; x < left + width; x++) if (png.data[4 * (y * png.width + x)]! < 200) count++;
  }
  return count;
}

it("draws returns and learning rates, with titles", async () => {
  const returns = [1, 2, 3, 4].map((iteration) => ({
    iteration,
    // In the third iteration no episode ended.
    returns: iteration === 3 ? [] : [100 * iteration, 20],
  }));
  const lines = [1, 2, 3, 4].map((step) => ({ step, "actor.lr": 0.1, "critic.lr": 0.1 }));
  const png = PNG.sync.read(Buffer.from(await drawReturns(returns, lines)));
  expect([png.width, png.height]).toEqual([760, 520]);
  expect(ink(png, 12, 12, 60, 24)).toBeGreaterThan(30);
  expect(ink(png, 12, 322, 120, 24)).toBeGreaterThan(60);
  // The mean of the first iteration is 60, of the last 210: a line from x = 64 + 672 ÷ 4 to the right edge.
  expect(ink(png, 240, 190, 490, 80)).toBeGreaterThan(300);
});

it("draws a run in which no episode ended", async () => {
  const lines = [{ step: 1, "actor.lr": 0.1, "critic.lr": 0.1 }];
  const png = PNG.sync.read(Buffer.from(await drawReturns([{ iteration: 1, returns: [] }], lines)));
  expect(png.width).toBe(760);
});
