import { appendFileSync, writeFileSync } from "node:fs";
import type { Quality } from "./quality.ts";
import type { Settings } from "./settings.ts";

export interface NetworkMetrics {
  readonly loss: number;
  readonly lr: number;
  /** Before clipping. Absent in an iteration that only accumulated. */
  readonly gradNorm?: number;
}

export interface Metrics {
  readonly iteration: number;
  readonly generator: NetworkMetrics;
  readonly discriminator: NetworkMetrics;
  /** Of training so far, earlier parts of a resumed run included. The one number that differs from run to run. */
  readonly seconds: number;
}

/** A file of JSON lines: the settings, then training, then the quality at the end. */
export interface MetricsFile {
  train(metrics: Metrics): void;
  quality(quality: Quality): void;
}

/** Begins the file anew, with the `history` of a run that goes on. */
export function openMetricsFile(file: string, settings: Settings, history: readonly Metrics[]): MetricsFile {
  const line = (kind: string, values: object) => `${JSON.stringify({ kind, ...values })}\n`;
  writeFileSync(file, line("settings", settings) + history.map((metrics) => line("train", metrics)).join(""));
  return {
    train: (metrics) => appendFileSync(file, line("train", metrics)),
    quality: (quality) => appendFileSync(file, line("quality", quality)),
  };
}
