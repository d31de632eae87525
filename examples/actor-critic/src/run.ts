import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import type { CommandLine } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import { evaluate } from "./evaluate.ts";
import { drawReturns } from "./figures/returns.ts";
import { mean } from "./mean.ts";
import { type Metrics, train } from "./train.ts";

const evaluationEpisodes = 100;

/** Trains, judges, and writes everything that is written. */
export async function run({ settings, out }: CommandLine): Promise<void> {
  await makeFolder(out);
  const began = performance.now();
  const history: Metrics[] = [];
  const actor = await train(settings, (metrics) => {
    history.push(metrics);
    const { iteration } = metrics;
    if (iteration % Math.ceil(settings.iterations / 20) === 0 || iteration === settings.iterations)
      console.log(`${iteration}/${settings.iterations} | ${describe(metrics)}`);
  });
  console.log(`trained in ${((performance.now() - began) / 1000).toFixed(1)} s`);

  const returns = evaluate(actor, evaluationEpisodes, settings.seed);
  console.log(
    `mean return ${mean(returns).toFixed(1)} over ${returns.length} episodes (least ${Math.min(...returns)}, limit 500)`,
  );
  await writeFile(join(out, "returns.png"), await drawReturns(history));
  console.log(`written to ${nearest(out)}: returns.png`);
}

function describe({ returns, actor, critic }: Metrics): string {
  const network = (name: string, { loss, lr, gradNorm }: Metrics["actor"]) =>
    `${name}: loss ${loss.toFixed(4)}, lr ${lr.toExponential(1)}, gradient norm ${gradNorm.toPrecision(2)}`;
  const episodes = returns.length === 0 ? "no episode ended" : `mean return ${mean(returns).toFixed(0)}`;
  return [episodes, network("actor", actor), network("critic", critic)].join(" | ");
}

async function makeFolder(out: string): Promise<void> {
  try {
    await mkdir(out, { recursive: true });
  } catch (error) {
    throw new UsageError(`--out ${out}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** The path as a person here would write it. */
function nearest(path: string): string {
  const fromHere = relative(process.cwd(), path) || ".";
  return fromHere.startsWith("..") ? path : fromHere;
}
