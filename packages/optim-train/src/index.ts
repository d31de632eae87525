export type { RunRanks } from "./agreement.ts";
export { type Batch, type Batches, type BatchesOptions, createBatches } from "./batches.ts";
export { type Best, type BestOptions, createBest } from "./best.ts";
export {
  collectMetrics,
  type CollectOptions,
  type WrapperMetrics,
  type WrapperMetricsByName,
} from "./metrics/collect.ts";
export { csvLines, jsonLines, textLines, type WriteLine } from "./metrics/lines.ts";
export type { Metrics, MetricsSink, RunProgress } from "./metrics/metrics.ts";
export { smoothed } from "./metrics/smoothed.ts";
export { createRun, type Run } from "./run.ts";
export type { LogOptions, ResumeOptions, RunOptions, RunSignal, UpdateOptions } from "./run-options.ts";
export type { FoundRun, HyperparametersByGroup, RunStore, SavedRun } from "./run-store.ts";
export type { RunScheduler, RunSchedulerDict, RunSchedulers } from "./schedulers.ts";
export { plainState, type Stateful } from "./stateful.ts";
export type { Wrappers } from "./wrappers.ts";
