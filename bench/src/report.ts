import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import type { Ratio, Section } from "./measure.ts";

/** The sections as Markdown, with the machine they were measured on. */
export function markdown(sections: readonly Section[], seconds: number): string {
  const processor = cpus()[0]?.model.trim() ?? "an unknown processor";
  const memory = Math.round(totalmem() / 2 ** 30);
  return [
    "# Benchmarks",
    "",
    "Written by `pnpm bench`. Every ratio is between medians of one run, taken in turn (A B C A B C …); the times themselves belong to the",
    "machine, the ratios travel better.",
    "",
    `Machine: ${processor}, ${availableParallelism()} processors, ${memory} GiB; Node ${process.version}; ${process.platform} ${process.arch}. The run took ${Math.round(seconds)} s.`,
    "",
    ...sections.flatMap(sectionLines),
  ].join("\n");
}

function sectionLines({ title, about, timings, ratios }: Section): string[] {
  return [
    `## ${title}`,
    "",
    about,
    "",
    "| what | median, ms |",
    "| --- | ---: |",
    ...timings.map(({ name, medianMs }) => `| ${name} | ${figure(medianMs)} |`),
    "",
    "| ratio | measured | goal |",
    "| --- | ---: | --- |",
    ...ratios.map((ratio) => `| ${ratio.what} | ${figure(ratio.value)} | ${goalText(ratio)} |`),
    "",
  ];
}

function goalText({ goal, value }: Ratio): string {
  if (goal === undefined) return "";
  const met = "atLeast" in goal ? value >= goal.atLeast : value <= goal.atMost;
  return `${"atLeast" in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`}${met ? "" : ", **not met**"}`;
}

/** Three significant digits. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export function writeReport(file: string, text: string): void {
  writeFileSync(file, text);
  // Formatted like every other page, so that the check of the formatting holds.
  execFileSync("npx", ["--no-install", "prettier", "--write", "--log-level", "warn", file], {
    stdio: "inherit",
  });
}
