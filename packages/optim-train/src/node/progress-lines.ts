import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import type { MetricsSink } from "../metrics/metrics.ts";

/**
 * Lines for people and for logs without a terminal: `120/1000  loss 0.1234  lr 0.001  85.2 it/s  11 s left`.
 *
 * @param write default: to the standard output
 * @param lines about how many lines over the whole run. Default 20; without an end, every line
 * @throws OptimError `invalid-option`
 */
export function progressLines(write: (line: string) => void = toOutput, lines = 20): MetricsSink {
  checkSchema("invalid-option", "progressLines: lines", lines, integerFrom(1));
  let next = 0;
  return (step, metrics, run) => {
    const until = run?.until ?? Infinity;
    if (step < next && step < until) return;
    next = step + (until === Infinity ? 1 : Math.ceil(until / lines));
    const { perSecond, secondsLeft, seconds: _, ...others } = metrics;
    const numbers = Object.entries(others).map(
      ([name, value]) => `${name} ${String(Number(value.toPrecision(4)))}`,
    );
    write(
      [
        until === Infinity ? step : `${step}/${until}`,
        ...numbers,
        ...(perSecond === undefined ? [] : [`${perSecond.toPrecision(3)} it/s`]),
        ...(secondsLeft === undefined ? [] : [`${Math.ceil(secondsLeft)} s left`]),
      ].join("  "),
    );
  };
}

function toOutput(line: string): void {
  process.stdout.write(`${line}\n`);
}
