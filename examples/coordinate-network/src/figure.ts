import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { initWasm, Resvg } from "@resvg/resvg-wasm";
import { PNG } from "pngjs";
import { clamp, type Picture } from "./picture.ts";
import type { Frame } from "./frames.ts";

const columns = 4;
const cell = 128;
const step = { x: cell + 8, y: cell + 30 };
const top = 62;
const left = 12;

/** A picture as it is. */
export function encodePicture({ width, height, colours }: Picture): Buffer {
  const png = new PNG({ width, height });
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      png.data[4 * pixel + channel] = Math.round(255 * clamp(colours[channel * width * height + pixel] ?? 0));
    }
    png.data[4 * pixel + 3] = 255;
  }
  return PNG.sync.write(png);
}

/** Every frame so far with its step and PSNR, and what is wanted last. */
export async function drawGrowth(frames: readonly Frame[], wanted: Picture): Promise<Uint8Array> {
  const cells = [
    ...frames.map(({ step, psnr, picture }) => ({ title: `step ${step}: ${psnr.toFixed(1)} dB`, picture })),
    { title: "the picture", picture: wanted },
  ];
  const width = left + columns * step.x;
  const height = top + Math.ceil(cells.length / columns) * step.y;
  const images = cells.map(({ title, picture }, index) => {
    const x = left + (index % columns) * step.x;
    const y = top + Math.floor(index / columns) * step.y;
    const data = encodePicture(picture).toString("base64");
    return `<image x="${x}" y="${y}" width="${cell}" height="${cell}" href="data:image/png;base64,${data}"/>
<text x="${x}" y="${y + cell + 16}" font-size="12">${title}</text>`;
  });
  return renderPng(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<g font-family="DejaVu Sans" fill="#222">
<text x="${left}" y="26" font-size="15">A network of 2,211 numbers learns a picture</text>
<text x="${left}" y="46" font-size="12" fill="#666">what it gives for every point, after so many steps</text>
${images.join("\n")}
</g></svg>`);
}

const require = createRequire(import.meta.url);

let started: Promise<Uint8Array> | undefined;

/** Draws an SVG, with a font of our own: pictures look alike wherever they are made. */
async function renderPng(svg: string): Promise<Uint8Array> {
  const font = await (started ??= start());
  const image = new Resvg(svg, {
    background: "white",
    font: { fontBuffers: [font], defaultFontFamily: "DejaVu Sans" },
  });
  return image.render().asPng();
}

async function start(): Promise<Uint8Array> {
  await initWasm(await readFile(require.resolve("@resvg/resvg-wasm/index_bg.wasm")));
  return readFile(require.resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf"));
}
