/** Colours from 0 to 1 in display values (sRGB), `[3, height, width]`: all red, all green, all blue, each row by row from the top. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly colours: Float32Array;
}

type Colour = readonly [red: number, green: number, blue: number];

/** A lake between mountains at dusk: smooth sky, a small sun, sharp ridges, fine ripples. Ours, and nothing but this formula. */
export function paintPicture(width: number, height: number): Picture {
  const colours = new Float32Array(3 * width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      // 3 × 3 samples a pixel, so that edges are soft.
      for (let sample = 0; sample < 9; sample++) {
        const x = (column + ((sample % 3) + 0.5) / 3) / width;
        const y = (row + (Math.floor(sample / 3) + 0.5) / 3) / height;
        colourAt(x, y).forEach((value, channel) => {
          colours[(channel * height + row) * width + column]! += value / 9;
        });
      }
    }
  }
  return { width, height, colours };
}

const horizon = 0.62;
const sun = { x: 0.38, y: 0.35, radius: 0.07 };

/** x from left to right, y from top to bottom, both from 0 to 1. */
function colourAt(x: number, y: number): Colour {
  if (y < horizon) return land(x, y) ?? sky(x, y);
  // The lake mirrors what is above it, darker and moved by ripples that widen towards us.
  const depth = (y - horizon) / (1 - horizon);
  const ripple = 0.02 * depth * Math.sin(26 / (depth + 0.12) + 3 * Math.sin(7 * x));
  const mirrored = horizon - (y - horizon) * (horizon / (1 - horizon));
  const above = land(x + ripple, mirrored) ?? sky(x + ripple, mirrored);
  return mix(above, [0.05, 0.11, 0.2], 0.3 + 0.35 * depth);
}

function sky(x: number, y: number): Colour {
  const distance = Math.hypot(x - sun.x, y - sun.y);
  const clear = mix([0.12, 0.2, 0.45], [1, 0.62, 0.34], Math.min(1, Math.max(0, y / 0.5)));
  const glowing = mix(clear, [1, 0.86, 0.56], 0.85 * Math.exp(-distance / 0.16));
  return distance < sun.radius ? [1, 0.96, 0.82] : glowing;
}

/** Three ridges, the nearest darkest. */
function land(x: number, y: number): Colour | undefined {
  const wave = (frequency: number, phase: number): number => Math.sin(2 * Math.PI * (frequency * x + phase));
  const near = 0.53 + 0.05 * wave(1.1, 0.55) + 0.015 * wave(4.7, 0.1) + 0.006 * wave(13, 0.3);
  if (y > near) return [0.07, 0.1, 0.15];
  const middle = 0.43 + 0.08 * wave(0.8, 0.1) + 0.025 * wave(3.1, 0.4) + 0.008 * wave(9, 0);
  if (y > middle) return [0.2, 0.2, 0.32];
  const far = 0.33 + 0.06 * wave(1.3, 0.75) + 0.03 * wave(2.7, 0.2) + 0.01 * wave(7, 0.6);
  return y > far ? [0.42, 0.34, 0.46] : undefined;
}

const mix = (from: Colour, to: Colour, part: number): Colour => [
  from[0] + (to[0] - from[0]) * part,
  from[1] + (to[1] - from[1]) * part,
  from[2] + (to[2] - from[2]) * part,
];

/** The middles of pixels, numbered row by row: `[2, count]`, x and y from 0 to 1. */
export function pixelPoints(
  { width, height }: Pick<Picture, "width" | "height">,
  pixels: Uint32Array,
): Float32Array {
  const points = new Float32Array(2 * pixels.length);
  pixels.forEach((pixel, i) => {
    points[i] = ((pixel % width) + 0.5) / width;
    points[pixels.length + i] = (Math.floor(pixel / width) + 0.5) / height;
  });
  return points;
}

/** Their colours: `[3, count]`. */
export function pixelColours({ width, height, colours }: Picture, pixels: Uint32Array): Float32Array {
  const picked = new Float32Array(3 * pixels.length);
  pixels.forEach((pixel, i) => {
    for (let channel = 0; channel < 3; channel++) {
      picked[channel * pixels.length + i] = colours[channel * width * height + pixel] ?? Number.NaN;
    }
  });
  return picked;
}

/** Peak signal-to-noise ratio in decibels, of values from 0 to 1: 10 log₁₀(1 ÷ mean squared difference). 20 is 0.1 off, 30 is 0.03. */
export function psnr(picture: Picture, wanted: Picture): number {
  const squares = picture.colours.map((value, i) => (clamp(value) - (wanted.colours[i] ?? Number.NaN)) ** 2);
  return -10 * Math.log10(squares.reduce((sum, square) => sum + square, 0) / squares.length);
}

/** The range that can be shown. */
export const clamp = (value: number): number => Math.min(1, Math.max(0, value));
