import { PNG } from "pngjs";
import { expect, it } from "vitest";
import { drawGrowth, encodePicture } from "../src/figure.ts";
import { paintPicture, pixelColours, pixelPoints, psnr, type Picture } from "../src/picture.ts";

/** 2 × 1 pixels: reds, greens, blues. */
const two: Picture = { width: 2, height: 1, colours: Float32Array.of(0, 1, 0.5, 0.25, 1, 0) };

it("gives pixels as points and colours, feature by feature", () => {
  const pixels = Uint32Array.of(1, 0, 1);
  expect([...pixelPoints(two, pixels)]).toEqual([0.75, 0.25, 0.75, 0.5, 0.5, 0.5]);
  expect([...pixelColours(two, pixels)]).toEqual([1, 0, 1, 0.25, 0.5, 0.25, 0, 1, 0]);
});

it("measures a difference in decibels", () => {
  // Off by 0.1 everywhere: 10 log₁₀(1 ÷ 0.01) = 20.
  const off = { ...two, colours: two.colours.map((value) => (value > 0.5 ? value - 0.1 : value + 0.1)) };
  expect(psnr(off, two)).toBeCloseTo(20, 5);
  // A colour outside the range counts as the one that is shown.
  expect(psnr({ ...two, colours: two.colours.map((value) => (value === 1 ? 7 : value)) }, two)).toBe(
    Infinity,
  );
});

it("paints a bright sun over dark mountains, whatever the size", () => {
  for (const side of [32, 64]) {
    const { colours } = paintPicture(side, side);
    const at = (x: number, y: number): number => colours[Math.floor(y * side) * side + Math.floor(x * side)]!;
    expect(at(0.38, 0.35)).toBeGreaterThan(0.95);
    expect(at(0.1, 0.55)).toBeLessThan(0.1);
    expect(colours.every((value) => value >= 0 && value <= 1)).toBe(true);
  }
});

it("writes a picture pixel by pixel", () => {
  const png = PNG.sync.read(encodePicture(two));
  expect([...png.data]).toEqual([0, 128, 255, 255, 255, 64, 0, 255]);
});

it("draws frames with what is wanted after them", async () => {
  const side = 8;
  const flat = (red: number): Picture => ({
    width: side,
    height: side,
    colours: Float32Array.from({ length: 3 * side * side }, (_, i) => (i < side * side ? red : 0)),
  });
  const frames = [0, 1].map((red, step) => ({ step, picture: flat(red), psnr: 10, seconds: 1 }));
  const png = PNG.sync.read(Buffer.from(await drawGrowth(frames, flat(0.5))));
  // The middles of the first three cells, 136 pixels apart.
  const reds = [0, 1, 2].map((cell) => png.data[4 * (126 * png.width + 76 + 136 * cell)]);
  expect(reds).toEqual([0, 255, 128]);
});
