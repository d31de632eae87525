import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { initWasm, Resvg } from "@resvg/resvg-wasm";

const require = createRequire(import.meta.url);

let started: Promise<readonly Uint8Array[]> | undefined;

/** Draws an SVG, with a font of our own: pictures look alike wherever they are made. */
export async function renderPng(svg: string): Promise<Uint8Array> {
  const fontBuffers = await (started ??= start());
  const image = new Resvg(svg, {
    background: "white",
    font: { fontBuffers: [...fontBuffers], defaultFontFamily: "DejaVu Sans", sansSerifFamily: "DejaVu Sans" },
  });
  return image.render().asPng();
}

async function start(): Promise<readonly Uint8Array[]> {
  await initWasm(await readFile(require.resolve("@resvg/resvg-wasm/index_bg.wasm")));
  return [await readFile(require.resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf"))];
}
