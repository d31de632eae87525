import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { Ratio, Section, Timing } from "./measure.ts";
import { webglRows } from "./webgl/index.ts";
import type { AdapterSections } from "./webgpu/index.ts";

const system = `${process.platform} ${process.arch}, Node ${process.version}`;

/** Half of the page, with how long it took to measure. */
export interface Part<T> {
  readonly measured: readonly T[];
  readonly seconds: number;
}

function machine({ seconds }: Part<unknown>): string {
  const processor = cpus()[0]?.model.trim() ?? "an unknown processor";
  const memory = Math.round(totalmem() / 2 ** 30);
  return `Machine: ${processor}, ${availableParallelism()} processors, ${memory} GiB; ${system}. The run took ${Math.round(seconds)} s.`;
}

function hostsPart(part: Part<Section>): string {
  return [
    "# Benchmarks",
    "",
    "For those who choose a backend by its speed. Written by `pnpm bench`. All cases of a section are timed in turn (A B C A B C …). A ratio is the median of those of each round, with",
    "its quartiles: half of the rounds lie between them, and a difference that is smaller says nothing. The times themselves belong to the machine, the ratios travel better.",
    "",
    machine(part),
    "",
    ...part.measured.flatMap(sectionLines),
    "## WebGL, device by device",
    "",
    "`tf.train.adam` ÷ ours, first plain, then ours clipped by norm and with a dynamic loss scale: given gradients, and in whole training steps. SwiftShader is no GPU. **Anyone can add",
    "a row**: [a page](../bench/webgl/index.html) (`npm run bench:page`) has a button, a table, and a line to copy into `bench/webgl/rows.md`.",
    "",
    ...webglTable(),
    "",
  ].join("\n");
}

const webgpuHeading = "## WebGPU, adapter by adapter";

/** The table of adapters is empty until {@link addAdapters}. */
function webgpuPart(part: Part<AdapterSections>): string {
  return [
    "",
    machine(part),
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
    ...part.measured.flatMap((adapter) => adapter.sections).flatMap(sectionLines),
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

/** The rows of the front page, in words: of a section, or of the table of adapters. */
const frontRows: readonly (Readonly<Record<"words" | "title" | "what", string>> | FrontAdapter)[] = [
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
    adapter: "lavapipe",
    column: "100 × 10k",
  },
  {
    words: "A whole iteration of the GAN playground in Chromium, WebAssembly, against `tf.train.adam`",
    title: "The GAN playground in Chromium, one iteration of both networks",
    what: "tf.train.adam ÷ fused steps, tfjs-wasm",
  },
];

type FrontAdapter = Readonly<Record<"words" | "adapter" | "column", string>>;

function summary(sections: readonly Section[], adapters: readonly AdapterRow[]): string {
  const rows = frontRows.flatMap((row) => {
    const value = "adapter" in row ? valueOfAdapter(row, adapters) : valueOf(row, sections);
    if (value !== undefined) return [[row.words, figure(value)]];
    console.error(`not measured, so not on the front page: ${row.words}`);
    return [];
  });
  return table(["what is compared", "times as fast"], rows).join("\n");
}

const valueOf = (
  { title, what }: { readonly title: string; readonly what: string },
  sections: readonly Section[],
): number | undefined =>
  sections.find((section) => section.title === title)?.ratios.find((ratio) => ratio.what === what)?.value;

const valueOfAdapter = ({ adapter, column }: FrontAdapter, rows: readonly AdapterRow[]): number | undefined =>
  rows.find((row) => row.adapter === adapter)?.ratios[column];

/** Three significant digits. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Writes the parts that were measured, and leaves the other as it is: the page, and the summary between its markers on the front page. */
export function writeReport(
  root: URL,
  {
    hosts,
    webgpu,
  }: { readonly hosts?: Part<Section> | undefined; readonly webgpu?: Part<AdapterSections> | undefined },
): void {
  const page = path(root, "docs/benchmarks.md");
  const [before = "", after = ""] = readFileSync(page, "utf8").split(`${webgpuHeading}\n`);
  const parts = [hosts ? hostsPart(hosts) : before, webgpu ? webgpuPart(webgpu) : after];
  writeFileSync(page, parts.join(`${webgpuHeading}\n`));
  console.log(addAdapters(root, webgpu?.measured ?? []));
  if (hosts === undefined) return;
  const front = path(root, "README.md");
  const text = summary(hosts.measured, adapterRows(root));
  replaceBetween(front, "<!-- benchmarks: written by `pnpm bench` -->", "<!-- /benchmarks -->", text);
  format(front);
}

const adapterRows = (root: URL): readonly AdapterRow[] =>
  JSON.parse(readFileSync(path(root, "bench/adapters.json"), "utf8")) as readonly AdapterRow[];

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
  for (const row of [...adapterRows(root), ...measured.map(toRow)])
    rows.set(`${row.adapter}, ${row.system}`, row);
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
