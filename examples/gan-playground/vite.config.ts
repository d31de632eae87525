import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { aliases, exampleAliases } from "../../scripts/aliases.mjs";
import { loadDigits } from "../gan-digits/src/load-digits.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  base: "./",
  resolve: {
    // The sources, so that the page needs no build of the packages.
    alias: [...aliases("source"), ...exampleAliases],
  },
  plugins: [digits()],
  worker: { format: "es" },
  // TensorFlow.js is one chunk, and the page does not wait for it.
  build: { outDir: "dist/page", target: "es2022", chunkSizeWarningLimit: 2000 },
});

/** Writes what the page fetches: the training digits, a byte a pixel, then a byte for each label. */
function digits(): Plugin {
  const file = here("data/digits.bin");
  return {
    name: "digits",
    buildStart() {
      if (existsSync(file)) return;
      const { images, labels } = loadDigits().training;
      mkdirSync(here("data"), { recursive: true });
      writeFileSync(file, Buffer.concat([Uint8Array.from(images, (ink) => Math.round(ink * 255)), labels]));
    },
  };
}
