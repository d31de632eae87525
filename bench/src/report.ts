import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { Ratio, Section, Timing } from "./measure.ts";
import { webglRows } from "./webgl/index.ts";
import type { AdapterSections } from "./webgpu/index.ts";

const system = `${process.platform} ${process.arch}, Node ${process.version}`;

/** The page, with the machine that it was measured on. The table of adapters is empty until {@link addAdapters}. */
export function markdown(
  sections: readonly Section[],
  adapters: readonly AdapterSections[],
  seconds: number,
): string {
  const processor = cpus()[0]?.model.trim() ?? "an unknown processor";
  const memory = Math.round(totalmem() / 2 ** 30);
  return [
    "# Benchmarks",
    "",
    "For those who choose a backend by its speed. Written by `pnpm bench`. All cases of a section are timed in turn (A B C A B C …). A ratio is the median of those of each round, with",
    "its quartiles: half of the rounds lie between them, and a difference that is smaller says nothing. The times themselves belong to the machine, the ratios travel better.",
    "",
    `Machine: ${processor}, ${availableParallelism()} processors, ${memory} GiB; ${system}. The run took ${Math.round(seconds)} s.`,
    "",
    ...sections.flatMap(sectionLines),
    "## WebGL, device by device",
    "",
    "`tf.train.adam` ÷ ours, first plain, then ours clipped by norm and with a dynamic loss scale: given gradients, and in whole training steps. SwiftShader is no GPU. **Anyone can add",
    "a row**: [a page](../bench/webgl/index.html) (`npm run bench:page`) has a button, a table, and a line to copy into `bench/webgl/rows.md`.",
    "",
    ...webglTable(),
    "",
    "## WebGPU, adapter by adapter",
    "",
    "SwiftShader and lavapipe are adapters in software: they compute on the processor. They compare kernels with each other, and say nothing",
    "about the speed of a GPU. **Anyone with a GPU can add a row**: `pnpm bench --webgpu` measures the adapter that WebGPU prefers on a",
    "machine, writes its figures into `bench/adapters.json` and its row into this table.",
    "",
    "By hand: time of our generated kernel ÷ time of one written by hand for Adam alone. All others: time of `tf.train.adam` of tfjs-webgpu",
    "÷ ours. Clipped and scaled: with clipping by norm and a dynamic loss scale, which `tf.train.adam` has not.",
    "",
    tableBegin,
    tableEnd,
    "",
    ...adapters.flatMap((adapter) => adapter.sections).flatMap(sectionLines),
  ].join("\n");
}

const tableBegin = "<!-- adapters: written by `pnpm bench --webgpu` -->";
const tableEnd = "<!-- /adapters -->";

function sectionLines({ title, about, timings, ratios }: Section): string[] {
  const hasPasses = timings.some(({ passMs }) => passMs !== undefined);
  return [
    `## ${title}`,
    "",
    about,
    "",
    ...table(
      ["what", "median, ms", ...(hasPasses ? ["on the device, in compute passes"] : [])],
      timings.map(({ name, medianMs, passMs }: Timing) => [
        name,
        figure(medianMs),
        ...(hasPasses ? [passMs === undefined ? "" : figure(passMs)] : []),
      ]),
    ),
    "",
    "| ratio | measured | quartiles | goal |",
    "| --- | ---: | ---: | --- |",
    ...ratios.map(
      (ratio) => `| ${ratio.what} | ${figure(ratio.value)} | ${spreadText(ratio)} | ${goalText(ratio)} |`,
    ),
    "",
  ];
}

function webglTable(): string[] {
  const cases = ["4 × 1M", "100 × 10k", "300 × 1k", "perceptron", "tiny network"];
  const head = ["device", ...cases.flatMap((one) => [one, `${one}, clipped and scaled`])];
  return [...table(head, []), ...webglRows()];
}

/** All columns but the first hold figures. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [head, head.map((_, column) => (column === 0 ? "---" : "---:")), ...rows].map(
    (row) => `| ${row.join(" | ")} |`,
  );

const spreadText = ({ quartiles }: Ratio): string => quartiles?.map(figure).join(" to ") ?? "";

/** A goal between the quartiles is neither met nor missed. */
function goalText({ goal, value, quartiles = [value, value] }: Ratio): string {
  if (goal === undefined) return "";
  const [worse, better] = "atLeast" in goal ? quartiles : [-quartiles[1], -quartiles[0]];
  const bound = "atLeast" in goal ? goal.atLeast : -goal.atMost;
  const verdict = worse >= bound ? "" : better < bound ? ", **not met**" : ", within the spread";
  return `${"atLeast" in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`}${verdict}`;
}

/** The rows of the front page, in words. */
const frontRows = [
  {
    words:
      "Adam on four tensors of a million numbers, WebAssembly: `@mm/optim-wasm` against a plain JavaScript loop",
    title: "Adam on 4 × 1M float32, CPU",
    what: "JS loop ÷ arena",
  },
  {
    words: "The same on variables of TensorFlow.js's WebAssembly backend, against `tf.train.adam`",
    title: "Adam, 4 × 1M, variables of tfjs-wasm",
    what: "tf.train.adam, applyGradients ÷ step",
  },
  {
    words:
      "Adam on a hundred tensors of 10,000 numbers, TensorFlow.js's CPU backend, against `tf.train.adam`",
    title: "Adam, 100 × 10k, variables of tfjs-cpu",
    what: "tf.train.adam, applyGradients ÷ step",
  },
  {
    words: "The same, its WebGPU backend on an adapter in software (lavapipe)",
    title: "Adam, 100 × 10k, variables of tfjs-webgpu, lavapipe",
    what: "tf.train.adam, applyGradients ÷ step",
  },
  {
    words: "A whole iteration of the GAN playground in Chromium, WebAssembly, against `tf.train.adam`",
    title: "The GAN playground in Chromium, one iteration of both networks",
    what: "tf.train.adam ÷ fused steps, tfjs-wasm",
  },
];

function summary(sections: readonly Section[]): string {
  const rows = frontRows.flatMap(({ words, title, what }) => {
    const section = sections.find((candidate) => candidate.title === title);
    const ratio = section?.ratios.find((candidate) => candidate.what === what);
    if (ratio !== undefined) return [[words, figure(ratio.value)]];
    console.error(`not measured, so not on the front page: ${title}, ${what}`);
    return [];
  });
  return table(["what is compared", "times as fast"], rows).join("\n");
}

/** Three significant digits. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Writes the page, and the summary between its markers on the front page; both formatted like every other page. */
export function writeReport(
  root: URL,
  sections: readonly Section[],
  adapters: readonly AdapterSections[],
  text: string,
): void {
  const [page, front] = [path(root, "docs/benchmarks.md"), path(root, "README.md")];
  writeFileSync(page, text);
  const all = [...sections, ...adapters.flatMap((adapter) => adapter.sections)];
  replaceBetween(front, "<!-- benchmarks: written by `pnpm bench` -->", "<!-- /benchmarks -->", summary(all));
  format(page, front);
}

/** A row of the table of adapters, which adds up from machine to machine. */
interface AdapterRow {
  readonly adapter: string;
  readonly info: AdapterSections["info"];
  readonly system: string;
  /** By heading of the column. */
  readonly ratios: Readonly<Record<string, number>>;
}

/** Puts their rows, in place of older ones of the same adapter and system, into the table of adapters. @returns the table */
export function addAdapters(root: URL, measured: readonly AdapterSections[]): string {
  const [page, file] = [path(root, "docs/benchmarks.md"), path(root, "bench/adapters.json")];
  const rows = new Map<string, AdapterRow>();
  const known = JSON.parse(readFileSync(file, "utf8")) as readonly AdapterRow[];
  for (const row of [...known, ...measured.map(toRow)]) rows.set(`${row.adapter}, ${row.system}`, row);
  writeFileSync(file, JSON.stringify([...rows.values()]));
  const text = adapterTable([...rows.values()]);
  replaceBetween(page, tableBegin, tableEnd, text);
  format(page, file);
  return text;
}

function toRow({ name, info, sections }: AdapterSections): AdapterRow {
  const ratios = sections.flatMap((section) => section.ratios);
  return {
    adapter: name,
    info,
    system,
    ratios: Object.fromEntries(
      ratios.flatMap(({ column, value }) => (column === undefined ? [] : [[column, Number(figure(value))]])),
    ),
  };
}

function adapterTable(rows: readonly AdapterRow[]): string {
  const columns = [...new Set(rows.flatMap(({ ratios }) => Object.keys(ratios)))];
  return table(
    ["adapter", ...columns],
    rows.map(({ adapter, system, ratios }) => [
      `${adapter} (${system})`,
      ...columns.map((column) => (ratios[column] === undefined ? "" : figure(ratios[column]))),
    ]),
  ).join("\n");
}

const path = (root: URL, file: string): string => fileURLToPath(new URL(file, root));

function replaceBetween(file: string, begin: string, end: string, text: string): void {
  const [before, rest = ""] = readFileSync(file, "utf8").split(begin);
  const [, after = ""] = rest.split(end);
  if (after === "") throw new Error(`${file} has lost its markers ${begin} and ${end}`);
  writeFileSync(file, `${before}${begin}\n\n${text}\n\n${end}${after}`);
}

function format(...files: readonly string[]): void {
  execFileSync("npx", ["--no-install", "prettier", "--write", "--log-level", "warn", ...files], {
    stdio: "ignore",
  });
}
