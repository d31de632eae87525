import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import type { MetricsSink } from "./metrics.ts";

/**
 * Hands a sink the mean of the last `window` values of every metric whose name fits `matches` (the losses), and the others as they are. For
 * people: a file should have the numbers themselves.
 *
 * @throws OptimError `invalid-option`
 */
export function smoothed(sink: MetricsSink, window: number, matches: RegExp = /(^|\.)loss$/u): MetricsSink {
  checkSchema("invalid-option", "smoothed: window", window, integerFrom(1));
  const kept = new Map<string, readonly number[]>();
  const mean = (name: string, value: number): number => {
    const values = [...(kept.get(name) ?? []), value].slice(-window);
    kept.set(name, values);
    return values.reduce((sum, one) => sum + one, 0) / values.length;
  };
  return (step, metrics, run) => {
    const means = Object.entries(metrics).map(([name, value]) => [
      name,
      name.search(matches) === -1 ? value : mean(name, value),
    ]);
    return sink(step, Object.fromEntries(means) as { readonly [name: string]: number }, run);
  };
}
