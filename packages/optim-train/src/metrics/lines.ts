import type { MetricsSink } from "./metrics.ts";

/** Takes a line without its end: `console.log`, or ``(line) => file.write(`${line}\n`)``. */
export type WriteLine = (line: string) => void;

/** A line for people: `120  generator.lr 2.0000e-4  generator.gradNorm 1.2346`. */
export function textLines(write: WriteLine): MetricsSink {
  return (step, metrics) => {
    const numbers = Object.entries(metrics).map(([name, value]) => `${name} ${short(name, value)}`);
    write([step, ...numbers].join("  "));
  };
}

/** A JSON object a line, the step first. A number that is not finite is a string, `"NaN"`, which `Number` reads. */
export function jsonLines(write: WriteLine): MetricsSink {
  return (step, metrics) => {
    write(jsonLine({ step, ...metrics }));
  };
}

/** Numbers as JSON, which has none that are not finite. */
export const jsonLine = (numbers: object): string =>
  JSON.stringify(numbers, (_, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );

/**
 * Comma-separated values (RFC 4180): a line of titles, then one per step. The columns are chosen beforehand, since a metric may be absent at
 * first: such a cell is empty, and metrics that are no column are left out.
 */
export function csvLines(write: WriteLine, columns: readonly string[]): MetricsSink {
  let begun = false;
  return (step, metrics) => {
    if (!begun) write(["step", ...columns].map(quoted).join(","));
    begun = true;
    write([step, ...columns.map((name) => metrics[name] ?? "")].join(","));
  };
}

/** Learning rates in MMEngine's four decimals of a power of ten, the rest in five digits. */
function short(name: string, value: number): string {
  return /(^|\.)lr(\[|$)/u.test(name) ? value.toExponential(4) : String(Number(value.toPrecision(5)));
}

const quoted = (text: string): string => (/[",\r\n]/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
