import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { jsonLine } from "../metrics/lines.ts";
import type { Metrics, MetricsSink } from "../metrics/metrics.ts";

/** One line of a file. A number that was not finite is its name, as a string. */
export type MetricsLine = Metrics & { readonly step: number };

export interface MetricsFile extends MetricsSink {
  /** All lines of the file that are whole. Numbers that are not finite come back as numbers. */
  read(): readonly MetricsLine[];
}

/**
 * A file of JSON lines, for a run. Lines past the iteration at which a loop began are dropped before its first line is written, since the loop does
 * those iterations again; so is a line that was cut when a process was killed. Without a run, lines are appended.
 */
export function jsonLinesFile(path: string): MetricsFile {
  const read = (): readonly MetricsLine[] =>
    existsSync(path) ? readFileSync(path, "utf8").split("\n").flatMap(parse) : [];
  let last = Infinity;
  const sink: MetricsSink = (step, metrics, run) => {
    // The first line of this process, or the run went back.
    if (run && step <= last) {
      const kept = read().filter((line) => line.step <= run.began);
      writeFileSync(path, kept.map((line) => `${jsonLine(line)}\n`).join(""));
    }
    last = step;
    appendFileSync(path, `${jsonLine({ step, ...metrics })}\n`);
  };
  return Object.assign(sink, { read });
}

function parse(text: string): readonly MetricsLine[] {
  try {
    return [
      JSON.parse(text, (_, value: unknown) =>
        typeof value === "string" ? Number(value) : value,
      ) as MetricsLine,
    ];
  } catch {
    return [];
  }
}
