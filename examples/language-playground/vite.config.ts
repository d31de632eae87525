import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { aliases, exampleAliases } from "../../scripts/aliases.mjs";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  // The sources, so that the page needs no build of the packages.
  resolve: { alias: [...aliases("source"), ...exampleAliases] },
  worker: { format: "es" },
  // TensorFlow.js is one chunk, and the page does not wait for it. The text is a file of its own.
  build: { outDir: "dist/page", target: "es2022", chunkSizeWarningLimit: 2000, assetsInlineLimit: 0 },
});
