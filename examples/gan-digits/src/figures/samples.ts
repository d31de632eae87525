import { PNG } from "pngjs";
import { classes, pixels, side } from "../digits.ts";
import type { Frame } from "../frames.ts";
import { renderPng } from "./png.ts";

const scale = 4;
const cell = side * scale;
const step = cell + 4;
const left = 44;
const top = 78;
const margin = 12;

/** One column for each frame, time from left to right; one row for each digit, always from the same latents. */
export async function drawSamples(frames: readonly Frame[]): Promise<Uint8Array> {
  const width = Math.max(left + frames.length * step + margin, 420);
  const height = top + classes * step + margin;
  const columns = frames.map(({ iteration, images }, column) => {
    const x = left + column * step;
    return `<text x="${x + cell / 2}" y="${top - 8}" font-size="12">${iteration}</text>
<image x="${x}" y="${top}" width="${cell}" height="${classes * step}" href="${dataUrl(images)}"/>`;
  });
  const rows = Array.from(
    { length: classes },
    (_, digit) =>
      `<text x="${left / 2}" y="${top + digit * step + cell / 2 + 6}" font-size="18">${digit}</text>`,
  );
  const picture =
    await renderPng(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<g font-family="DejaVu Sans" text-anchor="middle" fill="#222">
<text x="${left}" y="26" font-size="15" text-anchor="start">Digit asked for, and what the generator draws</text>
<text x="${left}" y="46" font-size="12" text-anchor="start" fill="#666">from left to right: after so many iterations; each row from the same latents</text>
${rows.join("\n")}
${columns.join("\n")}
</g></svg>`);
  // Nothing has a colour: a third of the size.
  return PNG.sync.write(PNG.sync.read(Buffer.from(picture)), { colorType: 0 });
}

/** A column of images as a PNG, dark ink on white, enlarged without smoothing. */
function dataUrl(images: Float32Array): string {
  const png = new PNG({ width: cell, height: classes * step });
  png.data.fill(255);
  for (let i = 0; i < classes * cell * cell; i++) {
    const digit = Math.floor(i / (cell * cell));
    const row = Math.floor((i % (cell * cell)) / cell);
    const column = i % cell;
    const pixel = digit * pixels + Math.floor(row / scale) * side + Math.floor(column / scale);
    const grey = Math.round(255 * (1 - (images[pixel] ?? 0)));
    const at = 4 * ((digit * step + row) * cell + column);
    png.data.set([grey, grey, grey, 255], at);
  }
  return `data:image/png;base64,${PNG.sync.write(png).toString("base64")}`;
}
