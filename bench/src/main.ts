// Times with ratios, side by side in one run.
//
//   pnpm bench             writes docs/benchmarks.md and the summary on the front page
//   pnpm bench --part P    measures one part of the page, hosts or webgpu, and leaves the other
//   pnpm bench --webgpu    measures WebGPU alone, on this machine's own adapter, and adds its row to docs/benchmarks.md
//   pnpm bench --smoke     only shows that all of it runs
import { parseArgs } from "node:util";
import type { Effort, Section } from "./measure.ts";
import { distributed } from "./distributed.ts";
import { jax } from "./jax.ts";
import { languageModel } from "./language-model.ts";
import { loop } from "./loop.ts";
import { matrices } from "./matrices.ts";
import { overhead } from "./overhead.ts";
import { page } from "./page.ts";
import { addAdapters, type Part, writeReport } from "./report.ts";
import { tfjs } from "./tfjs.ts";
import { wasm } from "./wasm.ts";
import { webgl } from "./webgl/index.ts";
import { webgpuHere, webgpuInSoftware } from "./webgpu/index.ts";

const { values } = parseArgs({
  options: { smoke: { type: "boolean" }, webgpu: { type: "boolean" }, part: { type: "string" } },
});
if (values.part !== undefined && !["hosts", "webgpu"].includes(values.part)) {
  console.error(`--part ${values.part}: expected hosts or webgpu`);
  process.exit(2);
}
const effort: Effort = { smoke: values.smoke === true };
const root = new URL("../../", import.meta.url);
const suites = [wasm, matrices, tfjs, jax, webgl, overhead, loop, distributed, page, languageModel];

async function hosts(): Promise<readonly Section[]> {
  const sections: Section[] = [];
  for (const suite of suites) sections.push(...(await suite(effort)));
  return sections;
}

async function timed<T>(measure: () => Promise<readonly T[]>): Promise<Part<T>> {
  const started = performance.now();
  const measured = await measure();
  return { measured, seconds: (performance.now() - started) / 1000 };
}

if (values.webgpu === true) {
  const measured = await webgpuHere(effort);
  if (measured === undefined) {
    console.error("WebGPU finds no adapter on this machine");
    process.exitCode = 2;
  } else if (!effort.smoke) console.log(addAdapters(root, [measured]));
} else {
  const report = {
    hosts: values.part === "webgpu" ? undefined : await timed(hosts),
    webgpu: values.part === "hosts" ? undefined : await timed(() => webgpuInSoftware(effort)),
  };
  if (effort.smoke) {
    const adapters = report.webgpu?.measured ?? [];
    const all = [report.hosts?.measured ?? [], ...adapters.map(({ sections }) => sections)].flat();
    console.log(`${all.length} benchmark sections ran (smoke: nothing measured)`);
  } else writeReport(root, report);
}
