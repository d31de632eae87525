import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
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

/** The ratios that have a goal, for the front page. */
export function summary(sections: readonly Section[]): string {
  const rows = sections.flatMap(({ title, ratios }) =>
    ratios
      .filter(({ goal }) => goal !== undefined)
      .map((ratio) => `| ${title} | ${ratio.what} | ${figure(ratio.value)} | ${goalText(ratio)} |`),
  );
  return ["| what | ratio of times | measured | goal |", "| --- | --- | ---: | --- |", ...rows].join("\n");
}

/** Three significant digits. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Writes the page, and the summary between its markers on the front page; both formatted like every other page. */
export function writeReport(root: URL, sections: readonly Section[], text: string): void {
  const page = fileURLToPath(new URL("docs/benchmarks.md", root));
  const front = fileURLToPath(new URL("README.md", root));
  writeFileSync(page, text);
  const [begin, end] = ["<!-- benchmarks: written by `pnpm bench` -->", "<!-- /benchmarks -->"];
  const [before, rest = ""] = readFileSync(front, "utf8").split(begin);
  const [, after = ""] = rest.split(end);
  if (after === "") throw new Error(`${front} has lost its markers ${begin} and ${end}`);
  writeFileSync(front, `${before}${begin}\n\n${summary(sections)}\n\n${end}${after}`);
  execFileSync("npx", ["--no-install", "prettier", "--write", "--log-level", "warn", page, front], {
    stdio: "ignore",
  });
}
