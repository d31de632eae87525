// Trains with several seeds, as far as that is not done yet, and writes what came out: the table of docs/language-model.md, and the curve and the texts of
// the first seed.
//
//   node dist/measure.js 1 2 3
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startBackend } from "@mm-examples/gan-digits/backend";
import { createRandom } from "@mm-examples/gan-digits/random";
import { jsonLinesFile, type MetricsLine } from "@mm/optim-train/node";
import * as tf from "@tensorflow/tfjs-core";
import { batchAt, drawPlaces } from "./batch.ts";
import { folderOf } from "./checkpoint.ts";
import { drawLosses } from "./figures.ts";
import { createModel } from "./model.ts";
import { createOptim } from "./optim.ts";
import { run } from "./run.ts";
import { completeSettings, type OptimizerName } from "./settings.ts";
import { loadText } from "./load-text.ts";

const compared = ["muon", "adamw"] as const;
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const settings = completeSettings({});

const seeds = process.argv.slice(2).map(Number);
if (seeds.length === 0) throw new Error("name the seeds: node dist/measure.js 1 2 3");
interface Measured {
  readonly seed: number;
  readonly out: string;
  readonly muon: readonly MetricsLine[];
  readonly adamw: readonly MetricsLine[];
}

const measured: Measured[] = [];
for (const seed of seeds) {
  const out = at(`../runs/seed-${seed}`);
  if (!existsSync(`${out}/losses.png`))
    await run({
      given: { seed },
      out,
      checkpointEvery: 100,
      ...(existsSync(folderOf(out, "muon")) && { resume: out }),
    });
  const linesOf = (optimizer: OptimizerName): readonly MetricsLine[] =>
    jsonLinesFile(`${folderOf(out, optimizer)}/metrics.jsonl`).read();
  measured.push({ seed, out, muon: linesOf("muon"), adamw: linesOf("adamw") });
}
const milliseconds = await timeSteps();
const [first] = measured as [Measured];
const curves = compared.map((optimizer) => ({
  optimizer,
  accumulate: 1,
  lines: first[optimizer].map((line) => ({ ...line, seconds: (line.step * milliseconds[optimizer]) / 1000 })),
}));
writeFileSync(at("../docs/images/losses.png"), await drawLosses(curves));
copyFileSync(`${first.out}/samples.txt`, at("../docs/samples.txt"));
const guide = at("../../../docs/language-model.md");
const between = /(?<=<!-- figures[^>]*-->\n)[^]*(?=<!-- \/figures -->)/;
writeFileSync(guide, readFileSync(guide, "utf8").replace(between, `\n${describe()}\n`));

/** Validation losses by the steps after which they were taken. */
function lossesOf(lines: readonly MetricsLine[]): readonly (readonly [step: number, loss: number])[] {
  return lines.flatMap(({ step, validation }) =>
    validation === undefined ? [] : [[step, validation] as const],
  );
}

/** The step at which a curve first is as low as `loss`, on a straight line between two looks. */
function stepOf(lines: readonly MetricsLine[], loss: number): number {
  let [from, before] = [0, Math.log(512)];
  for (const [step, here] of lossesOf(lines)) {
    if (here <= loss) return from + ((step - from) * (before - loss)) / (before - here);
    [from, before] = [step, here];
  }
  return Number.NaN;
}

function describe(): string {
  const quarters = [1, 2, 3, 4].map((part) => (settings.steps * part) / 4);
  const row = (lines: readonly MetricsLine[]): string =>
    quarters.map((step) => new Map(lossesOf(lines)).get(step)?.toFixed(3) ?? "–").join(", ");
  const last = (lines: readonly MetricsLine[]): number => lossesOf(lines).at(-1)?.[1] ?? Number.NaN;
  const table = measured.map(({ seed, muon, adamw }) => {
    const reached = stepOf(muon, last(adamw));
    const share = (reached * milliseconds.muon) / (settings.steps * milliseconds.adamw);
    return [
      seed,
      row(muon),
      row(adamw),
      (last(adamw) - last(muon)).toFixed(3),
      Math.round(reached),
      `${Math.round(100 * share)} %`,
    ];
  });
  const header = [
    "seed",
    `Muon + AdamW after ${quarters.join(", ")} steps`,
    "AdamW",
    "ahead by",
    `as good as AdamW's ${settings.steps} after`,
    "of AdamW's time",
  ];
  const line = (cells: readonly unknown[]): string => `| ${cells.join(" | ")} |`;
  const { muon, adamw } = milliseconds;
  return [
    line(header),
    line(header.map(() => "---")),
    ...table.map(line),
    "",
    `A step took ${muon.toFixed(0)} ms of processor time with Muon + AdamW and ${adamw.toFixed(0)} ms with AdamW alone, ` +
      `${(100 * (muon / adamw - 1)).toFixed(0)} % more: medians of one process, the two in turn.`,
  ].join("\n");
}

/** Milliseconds of processor time of a whole step, by each optimizer in turn. A machine that does other things too has little part in it. */
async function timeSteps(): Promise<{ readonly [K in (typeof compared)[number]]: number }> {
  await startBackend("wasm");
  const text = loadText();
  const random = createRandom(1, "training");
  const sizes = { ...settings, vocabulary: text.tokenizer.pieces.length };
  const trained = compared.map((optimizer) => {
    const model = createModel(sizes, random);
    return { model, optim: createOptim(optimizer, model.weights, settings), times: [] as number[] };
  });
  for (let round = -3; round < 31; round++) {
    const places = drawPlaces(text.training, settings.rows, settings.context, random);
    for (const { model, optim, times } of trained) {
      const before = process.cpuUsage();
      const { input, targets } = batchAt(text.training, places, sizes);
      optim.updateParams(() => model.loss(input, targets));
      tf.dispose([input, targets]);
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) times.push((user + system) / 1000);
    }
  }
  const [muon = Number.NaN, adamw = Number.NaN] = trained.map(({ times }) => times.sort((a, b) => a - b)[15]);
  return { muon, adamw };
}
