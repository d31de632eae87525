// Times with ratios, side by side in one run.
//
//   pnpm bench             writes docs/benchmarks.md and the summary on the front page
//   pnpm bench --webgpu    measures WebGPU alone, on this machine's own adapter, and adds its row to docs/benchmarks.md
//   pnpm bench --smoke     only shows that all of it runs
import type { Effort, Section } from "./measure.ts";
import { distributed } from "./distributed.ts";
import { jax } from "./jax.ts";
import { languageModel } from "./language-model.ts";
import { loop } from "./loop.ts";
import { matrices } from "./matrices.ts";
import { overhead } from "./overhead.ts";
import { page } from "./page.ts";
import { addAdapters, markdown, writeReport } from "./report.ts";
import { tfjs } from "./tfjs.ts";
import { wasm } from "./wasm.ts";
import { webgl } from "./webgl/index.ts";
import { webgpuHere, webgpuInSoftware } from "./webgpu/index.ts";

const effort: Effort = { smoke: process.argv.includes("--smoke") };
const root = new URL("../../", import.meta.url);
if (process.argv.includes("--webgpu")) {
  const measured = await webgpuHere(effort);
  if (measured === undefined) {
    console.error("WebGPU finds no adapter on this machine");
    process.exitCode = 2;
  } else if (!effort.smoke) console.log(addAdapters(root, [measured]));
} else {
  const started = performance.now();
  const sections: Section[] = [];
  const suites = [wasm, matrices, tfjs, jax, webgl, overhead, loop, distributed, page, languageModel];
  for (const suite of suites) sections.push(...(await suite(effort)));
  const adapters = await webgpuInSoftware(effort);
  if (effort.smoke) {
    const count = [sections, ...adapters.map((adapter) => adapter.sections)].flat().length;
    console.log(`${count} benchmark sections ran (smoke: nothing measured)`);
  } else {
    const seconds = (performance.now() - started) / 1000;
    const text = markdown(sections, adapters, seconds);
    writeReport(root, sections, adapters, text);
    console.log(addAdapters(root, adapters));
  }
}
