// Tokens a second on one rank and on two, in turn, and writes them into docs/language-model.md. Needs Open MPI.
//
//   node dist/measure-ranks.js
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { startBackend } from "@mm-examples/gan-digits/backend";
import { createRandom } from "@mm-examples/gan-digits/random";
import { shardOf } from "@mm/optim-distributed";
import * as tf from "@tensorflow/tfjs-core";
import { batchAt, drawPlaces } from "./batch.ts";
import { loadText } from "./load-text.ts";
import { createModel } from "./model.ts";
import { createOptim } from "./optim.ts";
import { joinRanks } from "./ranks.ts";
import { completeSettings } from "./settings.ts";

const settings = completeSettings({});
const [rounds, warmUp, timed] = [3, 3, 15];
const self = fileURLToPath(import.meta.url);

if (process.argv[2] === "rank") console.log(JSON.stringify(await stepTimes()));
else measure();

function measure(): void {
  const times: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++)
    times.forEach((all, index) => all.push(median(launch(index + 1)) / 1000));
  const tokens = settings.rows * settings.context;
  // A machine that does other things too disturbs all rounds; the best one least.
  const [one = 0, two = 0] = times.map((all) => Math.round(tokens / Math.min(...all)));
  const text =
    `On ${availableParallelism()} cores of ${cpus()[0]?.model.trim()}, Muon + AdamW trained on ${one} tokens a second with one rank and on ` +
    `${two} with two: ${(two / one).toFixed(2)} times as many. That is the best of ${rounds} rounds of each, in turn, by the median of ` +
    `${timed} whole steps.`;
  console.log(text);
  const guide = fileURLToPath(new URL("../../../docs/language-model.md", import.meta.url));
  const between = /(?<=<!-- ranks[^>]*-->\n)[^]*(?=<!-- \/ranks -->)/;
  writeFileSync(guide, readFileSync(guide, "utf8").replace(between, `\n${text}\n\n`));
}

/** The milliseconds of steps on so many ranks, as the first of them says. */
function launch(ranks: number): readonly number[] {
  const line = ["--oversubscribe", "-n", String(ranks), process.execPath, self, "rank"];
  const permissions = { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  const output = execFileSync("mpirun", line, {
    encoding: "utf8",
    env: { ...process.env, ...permissions },
    timeout: 300_000,
  });
  return JSON.parse(output.split("\n").find((text) => text.startsWith("[")) ?? "[]") as number[];
}

/** Milliseconds of whole steps. All ranks take part, and wait for each other in each. */
async function stepTimes(): Promise<readonly number[]> {
  const ranks = await joinRanks();
  await startBackend("wasm");
  const text = loadText();
  const random = createRandom(1, "training");
  const sizes = { ...settings, vocabulary: text.tokenizer.pieces.length };
  const model = createModel(sizes, random);
  const optim = createOptim("muon", model.weights, settings, ranks);
  const { from, to } = shardOf(settings.rows, ranks ?? { rank: 0, size: 1 });
  const times: number[] = [];
  for (let step = -warmUp; step < timed; step++) {
    const places = drawPlaces(text.training, settings.rows, settings.context, random).slice(from, to);
    const begin = performance.now();
    const { input, targets, rows } = batchAt(text.training, places, sizes);
    optim.updateParams(() => model.loss(input, targets), { weight: rows });
    tf.dispose([input, targets]);
    if (step >= 0) times.push(performance.now() - begin);
  }
  return times;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
