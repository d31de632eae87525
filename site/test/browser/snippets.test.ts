/// <reference types="vite/client" />
// Blocks that need a browser, or its WebGPU.
import { expect, inject, it } from "vitest";

const { snippets } = inject("documentation");
const modules = import.meta.glob<unknown>("../../.snippets/**/*.ts");

it.each(snippets.filter(({ browser }) => browser))("$where runs", { timeout: 300_000 }, async ({ file }) => {
  const run = modules[`../../${file.replace(/^site\//, "")}`];
  expect(run).toBeDefined();
  await run?.();
});
