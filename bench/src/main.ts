// Times with ratios, side by side in one run: `pnpm bench` writes docs/benchmarks.md, `pnpm bench --smoke` only shows that all of it runs.
import type { Effort, Section } from "./measure.ts";
import { overhead } from "./overhead.ts";
import { markdown, writeReport } from "./report.ts";
import { tfjs } from "./tfjs.ts";
import { wasm } from "./wasm.ts";

const effort: Effort = { smoke: process.argv.includes("--smoke") };
const started = performance.now();
const sections: Section[] = [];
for (const suite of [wasm, tfjs, overhead]) sections.push(...(await suite(effort)));
const text = markdown(sections, (performance.now() - started) / 1000);

if (effort.smoke) console.log(`${sections.length} benchmark sections ran (smoke: nothing measured)`);
else {
  console.log(text);
  writeReport(new URL("../../", import.meta.url), sections, text);
}
