/** The calls of a run on a scheduler. `createScheduler` of `@mm/optim-schedule` makes one. */
export interface RunScheduler {
  readonly kind: "scheduler";
  step(result: { readonly updated: boolean }): void;
  stepEpoch(): void;
  stateDict(): object;
  prepareLoad(state: never, options: ScheduleLoad): PreparedScheduleLoad;
}

/** The calls of a run on the schedulers of several wrappers. `createSchedulerDict` makes them. */
export interface RunSchedulerDict {
  readonly kind: "scheduler-dict";
  get(name: never): RunScheduler;
  stepEpoch(): void;
  stateDict(): object;
  prepareLoad(state: never, options: ScheduleLoad): PreparedScheduleLoad;
}

export type RunSchedulers = RunScheduler | RunSchedulerDict;

interface ScheduleLoad {
  readonly restore: { readonly schedules: boolean; readonly initial: boolean };
}

interface PreparedScheduleLoad {
  readonly report: { readonly changed: readonly string[] };
  commit(): unknown;
}
